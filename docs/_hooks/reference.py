"""Pages of the reference: one per room, with every name that it exports.

Rooms are found, not listed: a new package in keras_nc has its page at once.
Sources are parsed, never imported.
"""

import ast
import pathlib

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2] / "keras_nc"
#: Bottom up, as imports point; rooms that are not here come after them.
ORDER = (
    "coding",
    "entropy_models",
    "layers",
    "metrics",
    "tokenizers",
    "models",
    "data",
    "training",
    "evaluation",
)
#: A command, not a library; command.md describes it.
COMMANDS = {"cli"}


def rooms():
    """Return the names of the packages that users import, in order."""
    found = {path.parent.name for path in ROOT.glob("[!_]*/__init__.py")}
    known = [room for room in ORDER if room in found]
    return known + sorted(found - set(known) - COMMANDS)


def describe(room):
    """Return a room's docstring and the names that it exports."""
    tree = ast.parse((ROOT / room / "__init__.py").read_text("utf-8"))
    names = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return ast.get_docstring(tree), names


def make_page(room):
    """Return the Markdown of a room's page."""
    summary, names = describe(room)
    blocks = [f"# keras_nc.{room}", summary]
    blocks += [f"::: keras_nc.{room}.{name}" for name in names]
    return "\n\n".join(blocks) + "\n"


def on_config(config):
    """Add the pages to the navigation."""
    pages = [{room: f"reference/{room}.md"} for room in rooms()]
    config.nav.append({"Reference": pages})
    return config


def on_files(files, config):
    """Add the pages to the files."""
    for room in rooms():
        path = f"reference/{room}.md"
        files.append(File.generated(config, path, content=make_page(room)))
    return files
