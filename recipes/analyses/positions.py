"""Which tokens of a window a model predicts (the paper, section 6).

    python -m recipes.analyses.positions --workdir runs/tiny

The model is the one that `recipes.reproduce --save_models` saved. The table has
its accuracy by the place of the token in its window.
"""

import pathlib

import keras
import numpy as np

from keras_nc.coding import START_ID
from keras_nc.models import CompressedCausalLM
from recipes import flags
from recipes import launch
from recipes.analyses import common
from recipes.engine.preparation import slug

OWN = {
    "experiment": {
        "default": "b64_v256",
        "metavar": "NAME",
        "help": "The experiment, by default b64_v256.",
    },
    "size": {
        "default": "tiny",
        "metavar": "SIZE",
        "help": "The size of M2, by default tiny.",
    },
    "tokens": {
        "type": flags.amount,
        "default": 20_000,
        "metavar": "N",
        "help": "Tokens to predict, by default 20,000.",
    },
}
BATCH_SIZE = 8


def run(workdir, experiment, size, tokens):
    """Predict, print and draw."""
    prepared = common.Prepared(workdir, experiment)
    scheme = prepared.tokenizer().scheme
    per_window = getattr(scheme, "window_bits", 0) // (scheme.token_bits or 1)
    if per_window < 2:
        raise ValueError(
            "Windows must have several tokens. Received: --experiment "
            f"{experiment}. Choose one such as b64_v256."
        )
    name = slug(f"{experiment}, {size} seed 0")
    folder = pathlib.Path(workdir, "runs", name, "preset")
    if not folder.exists():
        raise ValueError(
            f"The model must have been saved. Received: no {folder}. Run "
            f"`python -m recipes.reproduce --experiment {experiment} --size "
            f"{size} --save_models` with another --workdir."
        )
    model = CompressedCausalLM.from_preset(str(folder))
    length = model.preprocessor.sequence_length // per_window * per_window
    right, count = by_place(
        model, sequences(prepared.shards(), length, tokens), per_window
    )
    places = range(1, per_window + 1)
    figure = common.chart(
        "place of the token in its window",
        "share predicted",
        {prepared.row: (places, right / count)},
    )
    chance = 1 / scheme.vocabulary_size
    common.save(
        workdir,
        "positions",
        "Tokens of a window",
        f"How often M2 of size {size} predicts a token of {prepared.row}, by "
        f"its place in the window. Chance: {chance:.1%}. In the paper, the "
        "first token is learned first, the last ones late or never.",
        ["token of the window", "tokens", "predicted"],
        [
            [str(place), f"{n:,}", f"{k / n:.1%}"]
            for place, k, n in zip(places, right, count, strict=True)
        ],
        figure,
    )


def sequences(shards, length, tokens):
    """Return whole windows from the beginnings of documents, `(rows, T)`."""
    rows = []
    for i in range(shards.num_documents):
        ids = np.asarray(shards.document(i))[:-1]  # without the end id
        for start in range(0, len(ids) - length + 1, length):
            rows.append(ids[start : start + length])
        if len(rows) * length >= tokens:
            break
    if not rows:
        raise ValueError(
            f"A held-out example must have {length} tokens. Received: shorter "
            "ones. Prepare more text."
        )
    return np.array(rows, "int32")


def by_place(model, rows, per_window):
    """Count right predictions by place.

    Returns:
        Right predictions and all, integer arrays of shape `(per_window,)`.
    """
    inputs = np.roll(rows, 1, axis=1)
    inputs[:, 0] = START_ID
    right = np.zeros(per_window, int)
    for i in range(0, len(rows), BATCH_SIZE):
        batch = inputs[i : i + BATCH_SIZE]
        logits = model.predict_on_batch(
            {"token_ids": batch, "padding_mask": np.ones_like(batch)}
        )
        best = keras.ops.convert_to_numpy(logits).argmax(axis=-1)
        hits = best == rows[i : i + BATCH_SIZE]
        right += hits.reshape(-1, per_window).sum(axis=0)
    return right, np.full(per_window, rows.size // per_window)


if __name__ == "__main__":
    launch.start(run, workdir=common.WORKDIR, **OWN)
