"""Train models to decompress and to compress (the paper, section 6).

    python -m recipes.analyses.learnability --workdir runs/tiny --steps 300

A model reads a source and predicts a target, token by token. Its loss and its
accuracy count the target only. The source is the compressed form of a short
text and the target its bytes, or the reverse. A model that predicts the bytes
without a source is the baseline.
"""

import keras
import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from recipes import flags
from recipes import launch
from recipes.analyses import common

#: By title: the experiments of source and target, and the paper's accuracy.
TASKS = {
    "bytes, no source": (None, "bytes", 0.7686),
    "AC decompress": ("ac_v256", "bytes", 0.7698),
    "EqualInfo decompress": ("b16_v256", "bytes", 0.9530),
    "AC compress": ("bytes", "ac_v256", 0.017),
}
#: Ids of targets are above those of sources.
OFFSET = 256
MODEL = dict(num_layers=2, num_heads=4, hidden_dim=128, intermediate_dim=512)
LEARNING_RATE = 3e-3
OWN = {
    "bytes": {
        "type": flags.amount,
        "default": 100_000,
        "metavar": "N",
        "help": "Bytes of text to train on, by default 100,000.",
    },
    "text_bytes": {
        "type": flags.at_least(2),
        "default": 48,
        "metavar": "N",
        "help": "Bytes of each text, by default 48; 1,024 in the paper.",
    },
    "steps": {
        "type": flags.at_least(1),
        "default": 300,
        "metavar": "N",
        "help": "Steps of training, by default 300.",
    },
    "batch_size": {
        "type": flags.at_least(1),
        "default": 32,
        "metavar": "N",
        "help": "Texts of a step, by default 32.",
    },
}


def run(workdir, bytes, text_bytes, steps, batch_size):
    """Train a model for each task; print and draw."""
    texts = cut(common.read_text(workdir, bytes, "train"), text_bytes)
    held_out = cut(common.read_text(workdir, bytes // 10), text_bytes)
    if min(len(texts), len(held_out)) < 2:
        raise ValueError(
            "There must be several texts to train on and to score. Received: "
            f"{len(texts)} and {len(held_out)}, of --text_bytes {text_bytes}. "
            "Pass more --bytes, or fewer --text_bytes."
        )
    tokens = {}
    for name in ("bytes", "ac_v256", "b16_v256"):
        tokenizer = common.Prepared(workdir, name).tokenizer()
        rows = encode(tokenizer, [*texts, *held_out])
        tokens[name] = rows[: len(texts)], rows[len(texts) :]
    rows, accuracies = [], {}
    for title, (source, target, paper) in TASKS.items():
        its = [
            pack(tokens[source][i] if source else None, tokens[target][i])
            for i in range(2)
        ]
        nats, accuracy = learn(*its, steps, batch_size)
        accuracies[title] = accuracy
        rows.append([title, f"{nats:.3f}", f"{accuracy:.1%}", f"{paper:.1%}"])
    figure = common.bars("accuracy on targets (higher is better)", accuracies)
    common.save(
        workdir,
        "learnability",
        "Learning to decompress",
        f"Texts of {text_bytes} bytes, {steps} steps of {batch_size} texts; "
        "the paper has texts of 1,024 bytes, and a model of 113m. The score is "
        "that of held-out texts.",
        ["task", "nats/token", "accuracy", "accuracy, paper"],
        rows,
        figure,
    )


def cut(texts, size):
    """Return pieces of texts, each of exactly `size` bytes."""
    return [
        text[start : start + size]
        for text in texts
        for start in range(0, len(text) - size + 1, size)
    ]


def encode(tokenizer, texts):
    """Return the ids of each text, a list of arrays.

    Leave out the ids that all texts begin with: a stream begins with the length
    of its text, and all texts have the same.
    """
    ids, offsets = tokenizer.encode_batch(texts)
    rows = np.split(ids, offsets[1:-1])
    while len({row[:1].tobytes() for row in rows}) == 1 and rows[0].size:
        rows = [row[1:] for row in rows]
    return rows


def pack(sources, targets):
    """Join sources and targets.

    Args:
        sources: A list of arrays of ids, or `None`.
        targets: A list of arrays of ids.

    Returns:
        A triple of int32 arrays of shape `(texts, T)`: inputs, targets, and
        weights, 1 where a token of the target is predicted.
    """
    rows, firsts = [], []
    for i, target in enumerate(targets):
        source = [] if sources is None else [*sources[i], END_ID]
        firsts.append(len(source))
        rows.append([START_ID, *source, *(target + OFFSET)])
    width = max(map(len, rows)) - 1
    table = np.full((len(rows), width + 1), PAD_ID, "int32")
    weights = np.zeros((len(rows), width), "int32")
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
        weights[i, firsts[i] : len(row) - 1] = 1
    return table[:, :-1], table[:, 1:], weights


def learn(train, held_out, steps, batch_size):
    """Train a model, and score it on held-out texts.

    Args:
        train: What `pack` returned.
        held_out: The same, of other texts.
        steps: int.
        batch_size: int.

    Returns:
        Nats of a token of the target, and accuracy, floats.
    """
    keras.utils.set_random_seed(0)
    model = CompressedCausalLM(
        CompressedBackbone(NUM_SPECIAL + 2 * OFFSET, **MODEL)
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(LEARNING_RATE, clipnorm=1.0),
        weighted_metrics=["accuracy"],
    )
    width = max(train[0].shape[1], held_out[0].shape[1])
    train, held_out = (
        [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in part]
        for part in (train, held_out)
    )
    rng = np.random.default_rng(0)
    for _ in range(steps):
        rows = rng.integers(0, len(train[0]), batch_size)
        inputs, targets, weights = (array[rows] for array in train)
        model.train_on_batch(
            {"token_ids": inputs, "padding_mask": as_mask(inputs)},
            targets,
            weights,
        )
    inputs, targets, weights = held_out
    nats = right = 0
    for i in range(0, len(inputs), batch_size):
        part = slice(i, i + batch_size)
        logits = keras.ops.log_softmax(
            model.predict_on_batch(
                {
                    "token_ids": inputs[part],
                    "padding_mask": as_mask(inputs[part]),
                }
            )
        )
        logits = keras.ops.convert_to_numpy(logits)
        its = np.take_along_axis(logits, targets[part][..., None], -1)[..., 0]
        scored = weights[part] > 0
        nats -= float(its[scored].sum())
        right += int((logits.argmax(-1) == targets[part])[scored].sum())
    count = int(weights.sum())
    return nats / count, right / count


def as_mask(inputs):
    """Return a mask, int32: 1 where an input is not padding."""
    return (inputs != PAD_ID).astype("int32")


if __name__ == "__main__":
    launch.start(run, workdir=common.WORKDIR, **OWN)
