"""Training on several devices, and in several processes."""

import contextlib

import keras
import numpy as np

from keras_nc.coding.inputs import as_integer
from keras_nc.models.backbone import DecoderBackbone

#: The backends of each strategy; `None` for all.
STRATEGIES = {
    "single": None,
    "data_parallel": "jax",
    "model_parallel": "jax",
    "data_and_model_parallel": "jax",
    "mirrored": "tensorflow",
    "multi_worker_mirrored": "tensorflow",
}


class SingleDevice:
    """The strategy of one device."""

    def scope(self):
        """Return a context that does nothing."""
        return contextlib.nullcontext()


def get_distribution(strategy="single", model_shards=None, devices=None):
    """Create the distribution that a strategy names.

    Create, compile and train models inside its `scope()`.

    Args:
        strategy: str. `"single"` is one device, on any backend. On JAX:
            `"data_parallel"` gives every device the whole model and a part of
            each batch; `"model_parallel"` divides one model among all devices
            (`DecoderBackbone.get_layout_map`); `"data_and_model_parallel"`
            divides a model among each group of devices, and batches among the
            groups. On TensorFlow: `"mirrored"` is data-parallel on the devices
            of one process. PyTorch has `"single"` only.
        model_shards: int. Devices per group, for `"data_and_model_parallel"`.
        devices: A list of the backend's device names; by default all devices.
            On JAX these are the devices of all processes
            (`initialize_processes`).

    Returns:
        A `keras.distribution.Distribution`, a `tf.distribute.Strategy` or, for
        one device, a `SingleDevice`.

    Raises:
        ValueError: If the backend lacks the strategy, or `model_shards` does
            not divide the devices.

    Example:
    >>> distribution = get_distribution("single")
    >>> with distribution.scope():
    ...     model = keras.Sequential()
    """
    check_strategy(strategy)
    groups = strategy == "data_and_model_parallel"
    if model_shards is not None and not groups:
        raise ValueError(
            "`model_shards` is for strategy='data_and_model_parallel'; the "
            f"other strategies need none. Received: strategy={strategy!r}, "
            f"model_shards={model_shards}. Leave it out."
        )
    if model_shards is not None:
        model_shards = as_integer("model_shards", model_shards, 1)
    if strategy == "single":
        if num_processes() > 1:
            raise ValueError(
                "Several processes need a strategy that they share. Received: "
                f"strategy='single' in {num_processes()} processes. Choose "
                "'data_parallel', or start one process."
            )
        return SingleDevice()
    if strategy == "mirrored":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(devices)
    if devices is None:
        devices = keras.distribution.list_devices()
    if strategy == "data_parallel":
        return _DataParallel(devices=devices, auto_shard_dataset=False)
    if strategy == "model_parallel":
        model_shards = len(devices)
    if not model_shards or len(devices) % model_shards:
        raise ValueError(
            "`model_shards` must divide the number of devices. Received: "
            f"model_shards={model_shards} for {len(devices)} devices. Choose "
            "another number, or add devices."
        )
    mesh = keras.distribution.DeviceMesh(
        (len(devices) // model_shards, model_shards),
        ("batch", "model"),
        devices,
    )
    return _ModelParallel(
        layout_map=DecoderBackbone.get_layout_map(mesh),
        batch_dim_name="batch",
        auto_shard_dataset=False,
    )


def check_strategy(strategy):
    """Raise a ValueError unless the backend has the strategy."""
    backend = keras.backend.backend()
    if strategy == "multi_worker_mirrored":
        raise ValueError(
            "TensorFlow's MultiWorkerMirroredStrategy does not work under "
            "`fit` of Keras 3 (keras issue 20585). Received: "
            "strategy='multi_worker_mirrored'. For several processes set "
            "KERAS_BACKEND=jax and choose 'data_parallel'."
        )
    if STRATEGIES.get(strategy, "no backend") not in (None, backend):
        names = [n for n, has in STRATEGIES.items() if has in (None, backend)]
        if backend == "tensorflow":
            names.remove("multi_worker_mirrored")
        raise ValueError(
            "`strategy` must be one that the backend has: on "
            f"{backend} {', '.join(names)}. Received: strategy={strategy!r}. "
            "Choose one of these, or another backend with KERAS_BACKEND."
        )


def num_replicas():
    """Return the number of parts into which the strategy divides a batch.

    Returns:
        int. 1 outside of any `scope()`.
    """
    distribution = keras.distribution.distribution()
    if distribution is not None:
        return distribution.num_model_replicas
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    return 1


def check_batch_size(batch_size):
    """Raise a ValueError unless a batch can be divided evenly."""
    replicas = num_replicas()
    if batch_size % replicas:
        raise ValueError(
            "`batch_size` must be a multiple of the parts that the strategy "
            f"divides batches into. Received: batch_size={batch_size} for "
            f"{replicas} parts. Choose another batch size, or divide the model "
            "among more devices."
        )


class _DividesBatches:
    """Check the batch size before Keras divides a batch."""

    def get_data_layout(self, data_shape):
        # With several processes, this is the shape of one process's part.
        if self.num_processes == 1:
            check_batch_size(data_shape[0])
        return super().get_data_layout(data_shape)


class _DataParallel(_DividesBatches, keras.distribution.DataParallel):
    pass


class _ModelParallel(_DividesBatches, keras.distribution.ModelParallel):
    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        mesh = layout.device_mesh
        sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
        for size, axis in zip(variable.shape, layout.axes, strict=True):
            if axis is not None and size % sizes[axis]:
                raise ValueError(
                    "Heads, MLP width, model width and rows of embeddings "
                    "must be multiples of the devices that they are divided "
                    f"among. Received: {variable.path} of shape "
                    f"{tuple(variable.shape)}, where {size} is to be divided "
                    f"among {sizes[axis]}. Divide the model among fewer "
                    "devices, or choose another size."
                )
        return layout


# === Several processes, on JAX ===


def initialize_processes(
    coordinator=None, num_processes=None, process_id=None, seed=0
):
    """Make this process one of several that train one model, on JAX.

    Call it in every process, before any computation. Each process then sees the
    devices of all processes.

    Args:
        coordinator: str. Address of process 0, such as `"10.0.0.1:1234"`.
            `None` on TPU pod slices, SLURM and other environments that JAX
            knows. They also define the two numbers below.
        num_processes: int. Number of processes.
        process_id: int. Number of this process, from 0.
        seed: int. Seed of the initial weights, the same in every process.

    Raises:
        ValueError: If the backend is not JAX, or a number is missing.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "Only JAX trains one model in several processes. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Set KERAS_BACKEND=jax."
        )
    given = (coordinator, num_processes, process_id)
    if any(x is None for x in given) and any(x is not None for x in given):
        raise ValueError(
            "Pass `coordinator`, `num_processes` and `process_id`, or none of "
            "them if the environment defines them. "
            f"Received: coordinator={coordinator}, "
            f"num_processes={num_processes}, process_id={process_id}"
        )
    if coordinator is not None:
        num_processes = as_integer("num_processes", num_processes, 1)
        process_id = as_integer("process_id", process_id, 0, num_processes - 1)
    seed = as_integer("seed", seed, 0)
    given = (coordinator, num_processes, process_id)
    import jax

    # On CPUs, concurrent collectives of several steps, as in `evaluate`, may
    # deadlock. Accelerators ignore this setting.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # Do this first: otherwise Keras draws a seed by a collective of all CPUs.
    keras.utils.set_random_seed(seed)
    keras.distribution.initialize(*given)


def num_processes():
    """Return how many processes train together: 1 except on JAX."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def is_first_process():
    """Return whether this is process 0, which writes the files."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return jax.process_index() == 0


def check_same_step(step):
    """Raise a ValueError unless all processes continue from the same step."""
    if num_processes() == 1:
        return
    from jax.experimental import multihost_utils

    steps = multihost_utils.process_allgather(np.array(step)).tolist()
    if len(set(steps)) > 1:
        raise ValueError(
            "All processes must read the same checkpoint. Received: "
            f"checkpoints of the steps {steps}. Use a folder that all "
            "processes share."
        )


@contextlib.contextmanager
def one_writer(model):
    """Let one of several processes write the files of a model.

    All processes must enter the context. Inside it every process has the
    complete weights and optimizer state, so that process 0 can write them.

    Args:
        model: A `keras.Model`.

    Yields:
        bool, whether this process writes.

    Example:
    >>> model = keras.Sequential()
    >>> with one_writer(model) as writes:
    ...     print(writes)
    True
    """
    if num_processes() == 1:
        yield True
        return
    from jax.experimental import multihost_utils

    variables = list(model.variables)
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    spread = [
        (variable, variable.value)
        for variable in variables
        if not variable.value.is_fully_replicated
    ]
    distribution = keras.distribution.distribution()
    try:
        for variable, value in spread:
            # Keras has no public way to do this: `assign` would divide the
            # value.
            variable._value = multihost_utils.process_allgather(
                value, tiled=True
            )
        # Saving creates new variables. Under the distribution, they would wait
        # for the processes that do not save.
        keras.distribution.set_distribution(None)
        yield is_first_process()
    finally:
        keras.distribution.set_distribution(distribution)
        for variable, value in spread:
            variable._value = value
