"""The ids that stand for no bytes, the same in every vocabulary."""

PAD_ID = 0
START_ID = 1
END_ID = 2
#: Ids below this one are special; bytes, pieces and windows begin here.
NUM_SPECIAL = 3
