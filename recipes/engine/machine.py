"""Describe the machine and the versions, for records and tables."""

import importlib.metadata
import os
import platform

#: Weights, gradients and an update, in float32.
BYTES_PER_PARAMETER = 12
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


def check_memory(setting, m2, ids, flag):
    """Check that the device has memory for a model and its training.

    Args:
        setting: A `Setting`.
        m2: A `configs.Model`.
        ids: int. Size of the vocabulary.
        flag: str. The flag that chose the model, with its value.

    Raises:
        ValueError: If even the weights, gradients and an update are too large.
    """
    room = memory_bytes()
    body = m2.num_layers * m2.hidden_dim
    body *= 4 * m2.hidden_dim + 3 * m2.intermediate_dim
    needed = BYTES_PER_PARAMETER * (body + ids * m2.hidden_dim)
    needed /= setting.model_shards or 1
    if room is not None and needed > room:
        raise ValueError(
            "A model, its gradients and an update must fit the device. "
            f"Received: {flag}, {needed / 1e9:,.0f} GB, and a device with "
            f"{room / 1e9:,.0f} GB. Choose a smaller one, or a larger device."
        )


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
