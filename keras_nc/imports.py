"""Import only what is used.

`on_first_use` lets a package import its names when they are first used.
`choose_backend` and `prepare_keras` keep Keras from importing other backends
than the one in use. Slow imports then cost time only if they are needed. `need`
imports an optional package.
"""

import importlib
import importlib.util
import os
import sys


def on_first_use(package, modules):
    """Make a package import names when they are first used.

    Args:
        package: str, `__name__` of the package.
        modules: dict from each name to the module that it is in, or that it
            names.

    Returns:
        A pair of functions: `__getattr__` and `__dir__` of the package.
    """
    namespace = vars(sys.modules[package])

    def __getattr__(name):  # noqa: N807
        if name not in modules:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}", name=name
            )
        module = importlib.import_module(modules[name])
        itself = modules[name] == f"{package}.{name}"
        namespace[name] = module if itself else getattr(module, name)
        return namespace[name]

    def __dir__():  # noqa: N807
        return sorted({*namespace, *modules})

    return __getattr__, __dir__


#: In the order of preference.
BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend():
    """Set `KERAS_BACKEND` before Keras is imported, which reads it once.

    If it is set, keep it. Otherwise, use the backend of Keras if Keras is
    already imported, else the first of `BACKENDS` that is installed.

    Returns:
        str, the backend.

    Raises:
        ValueError: if the backend is not supported or not installed.
    """
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    chosen = os.environ.get("KERAS_BACKEND")
    if not chosen and "keras" in sys.modules:
        chosen = sys.modules["keras"].config.backend()
    if not chosen and installed:
        chosen = installed[0]
    if chosen not in installed:
        remedy = "Set KERAS_BACKEND to one that is installed, or unset it."
        if not installed:
            remedy = 'Install one: pip install "keras-nc[jax]".'
        raise ValueError(
            f"The backend must be one of {', '.join(BACKENDS)}, and installed. "
            f"Received: KERAS_BACKEND={chosen or ''}; installed: "
            f"{', '.join(installed) or 'none'}. {remedy}"
        )
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def prepare_keras():
    """Choose a backend, and keep keras-hub from importing TensorFlow.

    Importing TensorFlow takes seconds. Call this before Keras is imported. It
    has no effect later.

    Raises:
        ValueError: if `KERAS_BACKEND` is not supported or not installed.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    if choose_backend() != "tensorflow":
        # In `sys.modules`, None marks a module that cannot be imported.
        sys.modules["tensorflow"] = None


def need(module, extra, what):
    """Import an optional package.

    Args:
        module: str.
        extra: str, the extra of this package that installs it.
        what: str, what needs it.

    Returns:
        The module.

    Raises:
        ImportError: if it is not installed. The error names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} must have the package {module.partition('.')[0]!r}. "
            f"Received: an installation without it ({error}). Install the "
            f'extra [{extra}], as in `pip install "keras-nc[{extra}]"`.'
        ) from error
