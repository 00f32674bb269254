"""Docstrings of installed packages, read without importing anything."""

import ast
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import sys
import sysconfig
import warnings

#: Folders whose files have no documentation, or are not the package's own.
SKIPPED_FOLDERS = frozenset(
    {
        "__pycache__",
        "_bundled",
        "dist-packages",
        "idle_test",
        "site-packages",
        "test",
        "tests",
    }
)
# The fields of a statement that hold further statements, in source order.
_NESTED = ("body", "handlers", "orelse", "finalbody", "cases")
_DEFINITIONS = (
    ast.Module,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
)


def find_package(name):
    """Find the folder of an installed top-level package without importing it.

    Args:
        name: name of the package, or `"stdlib"` for the standard library.

    Returns:
        A `pathlib.Path`, or None if there is no such package.

    Example:
    >>> from keras_nc.data.docstrings import find_package
    >>> find_package("keras").name
    'keras'
    >>> find_package("no_such_package") is None
    True
    """
    if name == "stdlib":
        folder = pathlib.Path(sysconfig.get_path("stdlib"))
        return folder if folder.is_dir() else None
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # already imported, but without a spec
        spec = None
    # A module that `sys.modules[name] = None` blocks is still on the disk.
    spec = spec or importlib.machinery.PathFinder.find_spec(name)
    if spec is None or not spec.origin:
        return None
    # Not `submodule_search_locations`: packages extend it when imported.
    origin = pathlib.Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else None


def find_modules(name):
    """List the source files of a package.

    Args:
        name: name of the package, or `"stdlib"`, of which the modules named
            in `sys.stdlib_module_names` are listed.

    Returns:
        A list of pairs of dotted module name and `pathlib.Path`, in the order
        of their paths; empty if there is no such package.
    """
    folder = find_package(name)
    if folder is None:
        return []
    root = folder if name == "stdlib" else folder.parent
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
        for file in files:
            if not file.endswith(".py"):
                continue
            path = pathlib.Path(parent, file)
            parts = path.relative_to(root).with_suffix("").parts
            if name == "stdlib" and parts[0] not in sys.stdlib_module_names:
                continue
            if parts[-1] == "__init__" and len(parts) > 1:
                parts = parts[:-1]
            found.append((".".join(parts), path))
    # Compare parts, so that the order does not depend on the separator.
    return sorted(found, key=lambda module: module[0].split("."))


def parse_source(source):
    """Parse Python source to a syntax tree.

    Args:
        source: bytes, the content of a source file.

    Returns:
        An `ast.Module`, or None if this Python cannot parse the source, such as
        templates or the syntax of other versions.
    """
    try:
        with warnings.catch_warnings():
            # Ignore invalid escapes in the strings of other packages.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def extract_docstrings(source):
    r"""Extract the docstrings of a module, its classes and functions.

    Args:
        source: bytes, the content of a source file.

    Returns:
        A list of str: the docstrings in source order, cleaned by
        `inspect.cleandoc`; empty if the source cannot be parsed.

    Example:
    >>> from keras_nc.data.docstrings import extract_docstrings
    >>> extract_docstrings(b"'A module.'\nclass Shape:\n    'A class.'")
    ['A module.', 'A class.']
    """
    tree = parse_source(source)
    if tree is None:
        return []
    found = []

    def visit(node):
        if isinstance(node, _DEFINITIONS):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                found.append(inspect.cleandoc(docstring))
        for field in _NESTED:
            for child in getattr(node, field, ()):
                visit(child)

    visit(tree)
    return found


def extract_topics(source):
    """Extract the help topics of the language from `pydoc_data/topics.py`.

    Args:
        source: bytes, the content of that file.

    Returns:
        A dict from the topic's name to its text; empty if there is none.
    """
    tree = parse_source(source)
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            topics = ast.literal_eval(node.value)
            return {name: topics[name] for name in sorted(topics)}
    return {}
