"""Byte-level BPE as a strong baseline, with and without word splitting."""

import operator

from keras_nc.coding import NUM_SPECIAL
from keras_nc.tokenizers.bpe import BPETokenizer

#: GPT-2's pattern: a word with the space before it, digits, or the rest.
SPLITS = ("gpt2", None)
#: Without splitting, the time of a merge grows with the text around it, and
#: what is cut off at the ends of pieces shrinks with them.
PIECE_CHARACTERS = 1024


def train_bpe(documents, vocabulary_size, split="gpt2", max_token_bytes=64):
    """Train byte-level BPE on documents.

    Args:
        documents: Iterable of bytes; what is not UTF-8 is left out.
        vocabulary_size: int. Pieces, 256 bytes and special ids included.
        split: `"gpt2"` lets no piece cross the words of GPT-2's pattern;
            `None` lets pieces hold several words, which makes the most of a
            vocabulary and takes minutes for 16 MB of text.
        max_token_bytes: int. Bytes that a piece has at most.

    Returns:
        A `BPETokenizer`.

    Raises:
        ValueError: If an argument is out of range, or the text has too few
            pairs for a vocabulary of this size.

    Example:
    >>> text = b"She sells sea shells by the sea shore. " * 20
    >>> tokenizer = train_bpe([text], 280, split=None)
    >>> assert tokenizer.detokenize(tokenizer("sea shore")) == b"sea shore"
    """
    import tokenizers

    vocabulary_size = operator.index(vocabulary_size)
    max_token_bytes = operator.index(max_token_bytes)
    if split not in SPLITS:
        raise ValueError(
            f"`split` must be one of {SPLITS}. Received: split={split!r}"
        )
    if vocabulary_size < NUM_SPECIAL + 256 or max_token_bytes < 1:
        raise ValueError(
            "`vocabulary_size` must be at least 259, for single bytes and "
            "special ids, and `max_token_bytes` at least 1. Received: "
            f"vocabulary_size={vocabulary_size}, "
            f"max_token_bytes={max_token_bytes}"
        )
    byte_level = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=split == "gpt2"
    )
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = byte_level
    model.train_from_iterator(
        _pieces(documents),
        tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary_size - NUM_SPECIAL,
            initial_alphabet=byte_level.alphabet(),
            max_token_length=max_token_bytes + 1,  # the library's is too much
            show_progress=False,
        ),
    )
    found = NUM_SPECIAL + model.get_vocab_size()
    if found != vocabulary_size:
        raise ValueError(
            f"The text must have pairs enough for {vocabulary_size:,} ids. "
            f"Received: text that gives {found:,}. Ask for fewer, or give more "
            "text."
        )
    return BPETokenizer(model.to_str())


def _pieces(documents):
    for document in documents:
        text = document.decode("utf-8", errors="ignore")
        for start in range(0, len(text), PIECE_CHARACTERS):
            yield text[start : start + PIECE_CHARACTERS]
