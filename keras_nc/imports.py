"""Import names of a package when they are first used.

Slow imports, above all Keras, then cost time only if they are used.
"""

import importlib
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
