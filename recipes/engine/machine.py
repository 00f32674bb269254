"""Describe the machine and the versions, for records and tables."""

import contextlib
import importlib.metadata
import os
import platform
import re

#: A weight, its gradient and its update, in float32.
BYTES_PER_PARAMETER = 12
#: Of a hidden state, in half precision.
BYTES_PER_STATE = 2
#: What the errors of backends say if a device has too little memory.
OUT_OF_MEMORY = re.compile(
    "RESOURCE_EXHAUSTED|ResourceExhausted|OutOfMemory|[Oo]ut of memory|"
    "allocate memory|MemoryError"
)
PACKAGES = (
    *("keras-nc", "keras", "keras-hub", "numpy", "numba"),
    *("sentencepiece", "tokenizers"),
)


def processor():
    """Return the name of the processor, a str."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def cpu_count():
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def versions(*packages):
    """Return the versions of packages that are installed, a dict."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def devices():
    """Return the names of the backend's devices, a list of str."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    if keras.backend.backend() == "torch":
        import torch

        count = torch.cuda.device_count()
        return [torch.cuda.get_device_name(i) for i in range(count)] or ["cpu"]
    return list(keras.distribution.list_devices())


def memory_bytes():
    """Return the memory of the device that models are trained on, or `None`."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        stats = jax.devices()[0].memory_stats() or {}
        if "bytes_limit" in stats:
            return stats["bytes_limit"]
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_properties(0).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def check_memory(setting, config, ids, flag):
    """Check that the device has memory for a model and its training.

    Args:
        setting: A `Setting`.
        config: A `Config`, with M2 and its training.
        ids: int. Size of the vocabulary.
        flag: str. The flag that chose the model, with its value.

    Raises:
        ValueError: If even the weights, gradients, an update and one hidden
            state for each token of a batch are too large together.
    """
    room, m2, training = memory_bytes(), config.m2, config.m2_training
    body = m2.num_layers * m2.hidden_dim
    body *= 4 * m2.hidden_dim + 3 * m2.intermediate_dim
    needed = BYTES_PER_PARAMETER * (body + ids * m2.hidden_dim)
    needed /= setting.model_shards or 1
    shares = 1 if setting.strategy == "single" else len(devices())
    tokens = training.batch_size * training.sequence_length / shares
    needed += tokens * m2.hidden_dim * BYTES_PER_STATE
    if room is not None and needed > room:
        raise ValueError(
            "A model, its gradients, an update and a batch must fit the "
            f"device. Received: {flag}, {needed / 1e9:,.0f} GB, and a device "
            f"with {room / 1e9:,.0f} GB. Choose a smaller size or batch, or a "
            "larger device."
        )


@contextlib.contextmanager
def fits_device(what):
    """Turn a backend's error for lack of memory into a ValueError.

    Args:
        what: str. What the device was used for.

    Raises:
        ValueError: If the block ran out of memory.
    """
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, ValueError) or not OUT_OF_MEMORY.search(said):
            raise
        raise ValueError(
            "A model and its training must fit the device. Received: "
            f"{what}, for which {', '.join(devices())} has too little memory. "
            "Pass a smaller --m2_training.batch_size, or choose a smaller size."
        ) from None


def describe():
    """Return the machine and the versions of packages, for JSON."""
    import keras

    backend = keras.backend.backend()
    return {
        "processor": processor(),
        "cores": cpu_count(),
        "devices": devices(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "backend": backend,
        "versions": versions(*PACKAGES, backend, "jaxlib"),
    }
