"""Every strategy trains like one device, and shards the right weights."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_nc.data import write_shards
from keras_nc.models import ByteBackbone
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.training import STRATEGIES
from keras_nc.training import get_distribution
from keras_nc.training import initialize_processes
from tests.training import distributed_run

BACKEND = keras.backend.backend()
ON_JAX = pytest.mark.skipif(BACKEND != "jax", reason="strategies of JAX")
ON_TENSORFLOW = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="a strategy of TensorFlow"
)
#: Shapes of the weights. Letters mark divided axes: `D` is divided among groups
#: with different data, the others among the devices of a model.
LAYOUT = {
    "token_embedding/embeddings": dict(V=384, D=16),
    "block_0/attention/query/kernel": dict(D=16, H=8, k=2),
    "block_0/attention/key/kernel": dict(D=16, H=8, k=2),
    "block_0/attention/value/kernel": dict(D=16, H=8, k=2),
    "block_0/attention/output_projection/kernel": dict(H=8, k=2, D=16),
    "block_0/attention/relative_bias/embeddings": dict(b=32, H=8),
    "block_0/mlp/gate/kernel": dict(D=16, F=32),
    "block_0/mlp/value_projection/kernel": dict(D=16, F=32),
    "block_0/mlp/output_projection/kernel": dict(F=32, D=16),
    "block_0/attention_norm/scale": dict(d=16),
    "block_0/mlp_norm/scale": dict(d=16),
    "layer_norm/scale": dict(d=16),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def shards(folder):
    # With the end id, a whole number of batches of 8 x 16 tokens.
    letters = np.random.default_rng(0).integers(97, 105, 16 * 64 - 1)
    document = letters.astype("uint8").tobytes()
    tokenizer = ByteTokenizer()
    return write_shards(
        [document], tokenizer, folder / "shards", progress=False
    )


@pytest.fixture(scope="module")
def running(folder, shards):
    """Processes that train at the same time, by name."""

    def start(*arguments):
        command = [sys.executable, "-m", "tests.training.distributed_run"]
        return subprocess.Popen(
            [*command, str(folder / "shards"), str(folder), *arguments],
            env={**os.environ, "KERAS_BACKEND": BACKEND},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    if BACKEND == "jax":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        processes = [start("8"), start("1", port, "0"), start("1", port, "1")]
    else:
        processes = [start("2")]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def seen_by(process):
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error[-4000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(running):
    """The results of one process with several devices."""
    return seen_by(running[0])


@pytest.fixture(scope="module")
def together(running):
    """The results of each of two processes."""
    return [seen_by(process) for process in running[1:]]


def check_losses(losses, alone, steps=20):
    expected = alone["single"]["losses"]
    assert len(expected) == 20 and expected[-1] < expected[0] / 2
    np.testing.assert_allclose(losses, expected[:steps], atol=1e-3)


def check_parts(parts, data, model, here=None):
    """Every weight, and its momentum, is divided as `LAYOUT` says."""
    assert len(parts) == 2 * len(LAYOUT)
    for path, shape in LAYOUT.items():
        divisors = [
            data if letter == "D" else model if letter.isupper() else 1
            for letter in shape
        ]
        part = [n // by for n, by in zip(shape.values(), divisors, strict=True)]
        count = here or int(np.prod(divisors))
        assert parts[path] == parts[path + "+"] == [part, count], path


@ON_JAX
@pytest.mark.parametrize(
    ("name", "data", "model", "steps"),
    [
        ("data 4", 1, 1, 20),
        ("data 8", 1, 1, 10),
        ("model 4", 1, 4, 20),
        ("model 8", 1, 8, 20),
        ("both 4", 2, 2, 20),
        ("both 8", 2, 4, 20),  # from step 10 on; before, it was "data 8"
    ],
)
def test_jax_devices(alone, name, data, model, steps):
    check_losses(alone[name]["losses"], alone, steps)
    check_parts(alone[name]["parts"], data, model)


@pytest.mark.skipif(BACKEND == "torch", reason="has no strategies")
def test_embeddings_made_from_bytes(alone):
    name, part = {
        # Groups with different data divide the width. A device reads all rows.
        "jax": ("bytes 4", [[8192, 8], 2]),
        "tensorflow": ("bytes 2", [[8192, 16]] * 2),
    }[BACKEND]
    expected = alone["bytes 1"]["losses"]
    assert expected[-1] < expected[0] / 2
    np.testing.assert_allclose(alone[name]["losses"], expected, atol=1e-3)
    assert alone[name]["part"] == part


@ON_JAX
@pytest.mark.parametrize(("name", "model"), [("data", 1), ("model", 2)])
def test_jax_processes(alone, together, name, model):
    for seen in together:
        assert seen["devices"] == 2
        check_losses(seen[name]["losses"], alone)
        check_parts(seen[name]["parts"], 1, model, here=1)


@ON_JAX
def test_what_one_process_writes_is_whole(alone, together, folder, shards):
    loaded = distributed_run.make_model()
    losses = distributed_run.train(loaded, shards, folder / "together")
    assert losses == together[0]["model"]["losses"]
    single = distributed_run.make_model(metrics=False)
    single.optimizer.build(single.trainable_variables)
    single.load_weights(folder / "single.weights.h5")
    for ours, theirs in zip(loaded.weights, single.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-3)


@ON_JAX
def test_errors_of_processes(together):
    for seen in together:
        assert "[3, 0]" in seen["other step"]
        assert "all processes share" in seen["other step"]
        assert "'data_parallel'" in seen["single"]


@ON_JAX
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd batch", ["batch_size=9", "8 parts"]),
        ("odd heads", ["query/kernel", "4 is to be divided among 8"]),
        ("odd shards", ["model_shards=3", "8 devices"]),
        ("too many shards", ["model_shards=16", "8 devices"]),
    ],
)
def test_devices_that_do_not_divide(alone, name, words):
    for word in words:
        assert word in alone[name]


@ON_JAX
def test_recipes_batches_are_checked(alone):
    assert "batch_size=9 for 8 parts" in alone["data 8"]["odd"]
    assert "batch_size=9 for 2 parts" in alone["both 8"]["odd"]


@ON_JAX
def test_a_layout_needs_its_axes():
    mesh = keras.distribution.DeviceMesh((1,), ("x",), ["cpu:0"])
    with pytest.raises(ValueError, match="'model' and 'batch'"):
        ByteBackbone.get_layout_map(mesh)
    mesh = keras.distribution.DeviceMesh((1, 1), ("x", "y"), ["cpu:0"])
    layout = ByteBackbone.get_layout_map(mesh, "x", "y")
    axes = layout["token_embedding/embeddings"].axes
    assert axes == ("x", "y")


@ON_TENSORFLOW
def test_tensorflow_devices(alone):
    seen = alone["mirrored 2"]
    check_losses(seen["losses"], alone)
    for path, shape in LAYOUT.items():
        copies = [list(shape.values())] * 2  # one copy on each device
        assert seen["parts"][path] == seen["parts"][path + "+"] == copies
    assert "batch_size=9 for 2 parts" in seen["odd"]


#: The settings of the tests above.
TRAINED = {
    "jax": {"data_parallel", "model_parallel", "data_and_model_parallel"},
    "tensorflow": {"mirrored"},
    "torch": set(),
}[BACKEND]


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - TRAINED))
def test_strategies_of_other_backends(strategy):
    if strategy == "single":
        with get_distribution(strategy).scope():
            assert keras.distribution.distribution() is None
        return
    with pytest.raises(ValueError, match="KERAS_BACKEND") as error:
        get_distribution(strategy)
    if BACKEND == "torch" and "multi" not in strategy:
        assert "on torch single. Received" in str(error.value)


def test_model_shards_of_no_use():
    with pytest.raises(ValueError, match="model_shards=2"):
        get_distribution("single", model_shards=2)


def test_processes_that_lack_a_number():
    match = "process_id=None" if BACKEND == "jax" else "KERAS_BACKEND=jax"
    with pytest.raises(ValueError, match=match):
        initialize_processes("127.0.0.1:1234", 2)
