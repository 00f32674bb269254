"""The training in a process of the tests; it prints results as JSON.

python -m tests.training.distributed_run SHARDS FOLDER DEVICES [PORT PROCESS]
"""

import json
import os
import pathlib
import sys

STEPS = 20
#: Fitted by one process: name, devices, strategy, `model_shards`.
FITTED = {
    "jax": (
        ("single", 1, "single", None),
        ("data 4", 4, "data_parallel", None),
        ("model 4", 4, "model_parallel", None),
        ("both 4", 4, "data_and_model_parallel", 2),
        ("model 8", 8, "model_parallel", None),
    ),
    "tensorflow": (("single", 1, "single", None),),
}
#: Runs of `resumable_fit`. The second of a pair continues the first.
RESUMED = {
    "jax": (
        ("data 8", 8, "data_parallel", None),
        ("both 8", 8, "data_and_model_parallel", 4),
    ),
    "tensorflow": (("mirrored 2", 2, "mirrored", None),),
}
#: Fitted by one process, with embeddings made from bytes.
MADE_FROM_BYTES = {
    "jax": (
        ("bytes 1", 1, "single", None),
        ("bytes 4", 4, "data_and_model_parallel", 2),
    ),
    "tensorflow": (("bytes 1", 1, "single", None),),
}


def make_model(num_heads=8, metrics=True, embedding="plain"):
    """A model of one layer, the same in every process."""
    import keras

    from keras_nc.metrics import BitsPerByte
    from keras_nc.models import CompressedBackbone
    from keras_nc.models import CompressedCausalLM
    from keras_nc.tokenizers import ByteTokenizer

    keras.utils.set_random_seed(0)
    tokenizer = ByteTokenizer()
    model = CompressedCausalLM(
        CompressedBackbone(
            tokenizer.vocabulary_size(),
            num_layers=1,
            num_heads=num_heads,
            hidden_dim=16,
            intermediate_dim=32,
            head_dim=2,
            embedding=embedding,
            vocabulary=tokenizer,
        )
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        weighted_metrics=[BitsPerByte(bytes_per_token=1.0)] if metrics else [],
        z_loss=1e-4,
        # For so few steps TensorFlow need not compile.
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def fit(model, shards, batch_size=8):
    """Train; return the loss of every step."""
    from keras_nc.data import PackedSequences
    from keras_nc.data import process_batches

    sequences = PackedSequences(shards, 16, batch_size, steps=STEPS)
    history = model.fit(
        process_batches(sequences), epochs=STEPS, steps_per_epoch=1, verbose=0
    ).history
    return history["loss"]


def train(model, shards, folder, batch_size=8):
    """Train by `resumable_fit`; return the loss of every step."""
    from keras_nc.training import resumable_fit

    history = resumable_fit(
        model,
        shards,
        folder,
        sequence_length=16,
        batch_size=batch_size,
        steps=STEPS,
        steps_per_epoch=1,
        tensorboard=False,
        progress=False,
    )
    return [row["loss"] for row in history]


class StoppedError(Exception):
    """Raised in the middle of a run."""


def train_half(model, shards, folder):
    """Train until something raises; return the losses so far."""
    import keras

    def stop(self, epoch, logs=None):
        if epoch == STEPS // 2:
            raise StoppedError

    before = keras.callbacks.Callback.on_epoch_begin
    keras.callbacks.Callback.on_epoch_begin = stop
    try:
        train(model, shards, folder)
    except StoppedError:
        state = pathlib.Path(folder, "checkpoint", "state.json").read_text()
        return [row["loss"] for row in json.loads(state)["history"]]
    finally:
        keras.callbacks.Callback.on_epoch_begin = before


def parts(model):
    """Return by path the shape of each weight's parts, and how many differ.

    The optimizer's state is after the path of its weight, with a `+`.
    """
    found = {}
    for variable in model.trainable_variables:
        index = model.optimizer._get_variable_index(variable)
        momentum = model.optimizer.momentums[index]
        for name, each in ((variable.path, variable), ("+", momentum)):
            if hasattr(each.value, "addressable_shards"):
                here = each.value.addressable_shards
                count = len({str(shard.index) for shard in here})
                part = [list(here[0].data.shape), count]
            else:
                part = [list(value.shape) for value in each.value.values]
            found[variable.path + name * (name == "+")] = part
    return found


def error_of(function, *arguments):
    """Return the message of the ValueError that a call raises."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)


def train_alone(shards, folder, names, backend):
    """Train by all strategies of a backend, in one process."""
    from keras_nc.training import get_distribution

    seen = {}
    for name, count, strategy, model_shards in FITTED[backend]:
        with get_distribution(strategy, model_shards, names[:count]).scope():
            model = make_model(metrics=False)
            losses = fit(model, shards)
        if strategy == "single":
            model.save_weights(folder / "single.weights.h5")
            seen[name] = {"losses": losses}
        else:
            seen[name] = {"losses": losses, "parts": parts(model)}
    for name, count, strategy, model_shards in MADE_FROM_BYTES[backend]:
        with get_distribution(strategy, model_shards, names[:count]).scope():
            model = make_model(metrics=False, embedding="bytes")
            losses = fit(model, shards)
        seen[name] = {"losses": losses}
        if strategy != "single":
            seen[name]["part"] = parts(model)["token_embedding/ngrams"]
    *_, last = RESUMED[backend]
    for run in RESUMED[backend]:
        trainer = train if run is last else train_half
        name, count, strategy, model_shards = run
        with get_distribution(strategy, model_shards, names[:count]).scope():
            model = make_model()
            losses = trainer(model, shards, folder / "resumed")
            odd = error_of(train, model, shards, folder / "odd", 9)
            if strategy == "mirrored":
                # A second strategy would mix up its reductions with the first.
                model_of_bytes = make_model(metrics=False, embedding="bytes")
                seen["bytes 2"] = {
                    "losses": fit(model_of_bytes, shards),
                    "part": parts(model_of_bytes)["token_embedding/ngrams"],
                }
        seen[name] = {"losses": losses, "parts": parts(model), "odd": odd}
    if backend == "jax":
        with get_distribution("data_parallel", None, names).scope():
            seen["odd batch"] = error_of(fit, model, shards, 9)
        with get_distribution("model_parallel", None, names).scope():
            seen["odd heads"] = error_of(make_model, 4)
        seen["odd shards"] = error_of(
            get_distribution, "data_and_model_parallel", 3
        )
        seen["too many shards"] = error_of(
            get_distribution, "data_and_model_parallel", 16
        )
    return seen


def train_together(shards, folder):
    """Train with another process."""
    import keras

    from keras_nc.training import get_distribution
    from keras_nc.training.distribution import check_same_step
    from keras_nc.training.distribution import is_first_process

    seen = {"devices": len(keras.distribution.list_devices())}
    with get_distribution("data_parallel").scope():
        model = make_model(metrics=False)
        losses = fit(model, shards)
    seen["data"] = {"losses": losses, "parts": parts(model)}
    with get_distribution("model_parallel").scope():
        model = make_model()
        # Process 0 writes the checkpoints, although it has only parts of
        # weights.
        losses = train(model, shards, folder / "together")
    seen["model"] = {"losses": losses, "parts": parts(model)}
    step = 3 if is_first_process() else 0
    seen["other step"] = error_of(check_same_step, step)
    seen["single"] = error_of(get_distribution, "single")
    return seen


def main(shards, folder, devices, port=None, process=None):
    """Train by every strategy of the backend."""
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={devices} "
        # Here compiling takes far longer than running.
        "--xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true "
        "--xla_cpu_use_fusion_emitters=false"
    )
    if os.environ["KERAS_BACKEND"] == "jax":
        sys.modules["tensorflow"] = None  # importing it takes seconds
        sys.modules["tensorflow_text"] = None
    import keras

    from keras_nc.data import TokenShards
    from keras_nc.training import initialize_processes

    shards, folder = TokenShards(shards), pathlib.Path(folder)
    backend, names = keras.backend.backend(), None
    if port is not None:
        initialize_processes(f"127.0.0.1:{port}", 2, int(process))
        seen = train_together(shards, folder)
    else:
        if backend == "tensorflow":
            import tensorflow as tf

            (cpu,) = tf.config.list_physical_devices("CPU")
            logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
            tf.config.set_logical_device_configuration(cpu, logical)
            names = [f"CPU:{i}" for i in range(int(devices))]
        else:
            names = keras.distribution.list_devices()
        seen = train_alone(shards, folder, names, backend)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
