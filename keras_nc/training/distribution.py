"""Training on several devices, by the name of a strategy."""

import contextlib

import keras

from keras_nc.coding.checks import as_integer
from keras_nc.models.decoder_backbone import DecoderBackbone
from keras_nc.training.processes import num_processes

#: The backends that have each strategy; `None` for all.
STRATEGIES = {
    "single": None,
    "data_parallel": "jax",
    "model_parallel": "jax",
    "data_and_model_parallel": "jax",
    "mirrored": "tensorflow",
    "multi_worker_mirrored": "tensorflow",
}


class SingleDevice:
    """The strategy of one device: `scope()` changes nothing."""

    def scope(self):
        """A context that does nothing."""
        return contextlib.nullcontext()


def get_distribution(strategy="single", model_shards=None, devices=None):
    """Make the distribution that a strategy names.

    Create, compile and train models inside its `scope()`.

    Args:
        strategy: str. `"single"`: one device, on any backend. On JAX
            `"data_parallel"`: every device has the whole model and a part of
            each batch; `"model_parallel"`: all devices share one model, see
            `DecoderBackbone.get_layout_map`; `"data_and_model_parallel"`:
            groups of devices share a model each, and batches are divided among
            the groups. On TensorFlow `"mirrored"`: data-parallel on the
            devices of one process. PyTorch has `"single"` only.
        model_shards: int. How many devices share a model, for
            `"data_and_model_parallel"`.
        devices: A list of the backend's device names; by default all. On JAX
            those of all processes, see `initialize_processes`.

    Returns:
        A `keras.distribution.Distribution`, a `tf.distribute.Strategy` or, for
        one device, a `SingleDevice`.

    Raises:
        ValueError: If the backend does not have the strategy, or the devices
            cannot be divided so.

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
    """How many copies of a model the strategy in use has, one per batch part.

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
    """Raise a ValueError unless the batch can be divided among replicas."""
    replicas = num_replicas()
    if batch_size % replicas:
        raise ValueError(
            "`batch_size` must be a multiple of the parts that the strategy "
            f"divides batches into. Received: batch_size={batch_size} for "
            f"{replicas} parts. Choose another batch size, or share the model "
            "among more devices."
        )


class _DividesBatches:
    """Keras' distribution of data, with an error of ours."""

    def get_data_layout(self, data_shape):
        # With several processes, this is the part of one of them.
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
                    f"among {sizes[axis]}. Share the model among fewer "
                    "devices, or choose another size."
                )
        return layout
