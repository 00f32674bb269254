"""The files of an entropy model.

Count models are one archive of arrays, `entropy_model.npz`. M1 is its
configuration, `entropy_model.json`, and its weights,
`entropy_model.weights.h5`. The fingerprint is the SHA-256 of

    keras_nc entropy_model <format version> <kind> <settings>

(one line, the settings as JSON with sorted keys and no spaces), and then, for
every array in its order, of the line `<name> <dtype> <shape>` and its bytes,
little-endian. A model is not its batch size, so that is no part of it.
"""

import hashlib
import io
import json
import os
import zipfile

import keras
import numpy as np

from keras_nc.coding.atomic import atomic_file
from keras_nc.coding.atomic import atomic_path
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models._counts import CountTrie

FORMAT_VERSION = 1
ARRAYS = "entropy_model.npz"
CONFIG = "entropy_model.json"
WEIGHTS = "entropy_model.weights.h5"
#: By the name that configurations have.
KINDS = {"unigram": UnigramModel, "ngram": NGramModel, "byte_lm": ByteLMModel}
FILES = {"unigram": [ARRAYS], "ngram": [ARRAYS], "byte_lm": [CONFIG, WEIGHTS]}
_TRIE = {"starts": "<i8", "bytes": "|u1", "counts": "<u4", "children": "<i4"}


def kind_of(model):
    """Name of a model's kind, or a TypeError if it cannot be saved."""
    for kind, cls in KINDS.items():
        if isinstance(model, cls):
            return kind
    names = ", ".join(cls.__name__ for cls in KINDS.values())
    raise TypeError(
        "A scheme saves its entropy model with itself, so that must be one of "
        f"{names}. Received: {type(model).__name__}"
    )


def fingerprint(model):
    """SHA-256 of an entropy model, in hexadecimal."""
    settings, arrays = _parts(model)
    settings = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    head = f"keras_nc entropy_model {FORMAT_VERSION} {kind_of(model)}"
    digest = hashlib.sha256(f"{head} {settings}\n".encode())
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        line = f"{name} {array.dtype.str} {array.shape}\n"
        digest.update(line.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _parts(model):
    """Settings, a dict for JSON, and a dict of arrays."""
    kind = kind_of(model)
    if kind == "unigram":
        return {}, {"counts": model.counts}
    if kind == "ngram":
        settings = {"start_min_count": model._start_min_count}
        tries = {"anywhere": model._counts, "starts": model._start_counts}
        return settings, {
            f"{name}_{field}": array
            for name, trie in tries.items()
            for field, array in zip(_TRIE, trie.arrays, strict=True)
        }
    # Layer names say nothing of what is computed; ours is float32 always.
    config = model.backbone.get_config()
    config = {
        name: value
        for name, value in config.items()
        if name not in ("name", "trainable", "dtype")
    }
    weights = model.backbone.get_weights()
    return config, {f"weight_{i}": array for i, array in enumerate(weights)}


def save(model, directory):
    """Write a model's files, each whole or not at all."""
    settings, arrays = _parts(model)
    head = {"format_version": FORMAT_VERSION, "kind": kind_of(model)}
    if isinstance(model, ByteLMModel):
        config = {**head, "backbone": settings, "batch_size": model.batch_size}
        path = os.path.join(directory, WEIGHTS)
        with atomic_path(path, suffix=".weights.h5") as temporary:
            model.backbone.save_weights(temporary)
        with atomic_file(os.path.join(directory, CONFIG)) as file:
            file.write(json.dumps(config, indent=2).encode())
        return
    with atomic_file(os.path.join(directory, ARRAYS)) as file:
        np.savez(file, **arrays, head=json.dumps({**head, **settings}))


def load(directory, kind):
    """Read a model's files.

    Args:
        directory: A path.
        kind: str. `"unigram"`, `"ngram"` or `"byte_lm"`.

    Returns:
        An entropy model.

    Raises:
        ValueError: If the files hold no such model.
    """
    try:
        if kind == "byte_lm":
            return _load_byte_lm(directory)
        return _load_counts(os.path.join(directory, ARRAYS), kind)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged file makes fail
        raise ValueError(
            f"{os.fspath(directory)!r} must hold a whole entropy model of the "
            f"kind {kind!r}, format version {FORMAT_VERSION}. Received: files "
            f"with a fault ({type(error).__name__}: {error}). Fetch or save "
            "them again."
        ) from error


def _check_head(head, kind):
    found = (head.pop("format_version", None), head.pop("kind", None))
    if found != (FORMAT_VERSION, kind):
        raise ValueError(f"format version and kind {found}")


def _load_byte_lm(directory):
    with open(os.path.join(directory, CONFIG), encoding="utf-8") as file:
        config = json.load(file)
    _check_head(config, "byte_lm")
    # By name: this room lies beneath the models.
    cls = keras.saving.get_registered_object("keras_nc>ByteBackbone")
    path = os.path.join(directory, WEIGHTS)
    _check_size(config["backbone"], os.path.getsize(path))
    backbone = cls.from_config({**config["backbone"], "dtype": "float32"})
    backbone.load_weights(path)
    return ByteLMModel(backbone, config["batch_size"])


def _check_size(config, size):
    """Refuse sizes that the file of weights cannot hold.

    A damaged number must not fill the memory before it is found out.
    """
    heads = config["num_heads"]
    per_layer = config["hidden_dim"] * (
        4 * heads * config["head_dim"] + 3 * config["intermediate_dim"]
    )
    per_layer += config["num_buckets"] * heads  # none of them with RoPE
    if config["position"] == "rope":
        per_layer -= config["num_buckets"] * heads
    least = 4 * config["num_layers"] * per_layer  # bytes of float32
    if least > size or config["max_distance"] > 1 << 24:
        raise ValueError(f"sizes of more than {size} bytes of weights")


def _load_counts(path, kind):
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    with zipfile.ZipFile(data) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"damaged field {damaged!r}")
    data.seek(0)
    with np.load(data, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    head = json.loads(arrays.pop("head").item())
    _check_head(head, kind)
    if kind == "unigram":
        return UnigramModel(arrays["counts"])
    tries = [_checked_trie(arrays, name) for name in ("anywhere", "starts")]
    return NGramModel(*tries, **head)


def _checked_trie(arrays, name):
    """A trie that the kernels can walk without leaving its arrays."""
    fields = {field: arrays[f"{name}_{field}"] for field in _TRIE}
    for field, dtype in _TRIE.items():
        array = fields[field]
        if array.dtype.str != dtype or array.ndim != 1:
            raise ValueError(f"{field}: {array.dtype}, {array.shape}")
    starts, children = fields["starts"], fields["children"]
    records = fields["bytes"].size
    if (
        fields["counts"].size != records
        or fields["counts"].min(initial=1) < 1
        or children.size != records
        or starts.size < 2
        or starts[0] != 0
        or starts[-1] != records
        or (np.diff(starts) < 0).any()
    ):
        raise ValueError("records that are no trie")
    # Nodes are numbered level by level, in the order of their records, and
    # the records of a node ascend.
    nodes = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    leads = children >= 0
    steps = np.diff(fields["bytes"].astype(np.int64))
    if (
        (children[~leads] != -1).any()
        or not np.array_equal(children[leads], np.arange(1, starts.size - 1))
        or (children[leads] <= nodes[leads]).any()
        or (steps[np.diff(nodes) == 0] <= 0).any()
    ):
        raise ValueError("records that are no trie")
    return CountTrie(*fields.values())
