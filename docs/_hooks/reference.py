"""Pages of the reference: one per subpackage, with every name that it exports.

Subpackages are found, not listed: a new one in keras_nc has its page at once.
Sources are parsed, never imported.
"""

import ast
import pathlib

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2] / "keras_nc"
#: In the order of imports, the lowest first, and the name that each page begins
#: with. Subpackages that are not here come after them.
FIRST = {
    "coding": "Codebook",
    "losses": "TokenNats",
    "layers": "DecoderBlock",
    "metrics": "BitsPerByte",
    "data": "write_shards",
    "entropy_models": "NGramModel",
    "tokenizers": "EqualInfoTokenizer",
    "models": "CompressedCausalLM",
    "evaluation": "bits_per_byte",
    "training": "resumable_fit",
}
#: Pages whose classes show the members that they inherit.
INHERITED = {"coding"}
#: Not for import by users: the command, which command.md describes, and modules
#: that the others share.
OTHERS = {"cli", "imports", "progress"}


def subpackages():
    """Return the names of the modules that users import, in order."""
    found = {path.parent.name for path in ROOT.glob("[!_]*/__init__.py")}
    found |= {path.stem for path in ROOT.glob("[!_]*.py")}
    known = [name for name in FIRST if name in found]
    return known + sorted(found - set(known) - OTHERS)


def describe(subpackage):
    """Return a subpackage's docstring and its public names, best first."""
    path = ROOT / subpackage / "__init__.py"
    if not path.exists():
        path = ROOT / f"{subpackage}.py"
    tree = ast.parse(path.read_text("utf-8"))
    names = [name for name in defined(tree) if not name.startswith("_")]
    if path.name == "__init__.py":  # what a module imports is not its own
        names += public_names(tree, f"keras_nc.{subpackage}.")
    names.sort(key=lambda name: name != FIRST.get(subpackage))
    return ast.get_docstring(tree), names


def defined(tree):
    """Yield the names of what a file defines."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            names = (n for target in node.targets for n in ast.walk(target))
            yield from (n.id for n in names if isinstance(n, ast.Name))


def public_names(tree, inside):
    """Yield what an `__init__.py` imports from modules of its own."""
    for node in tree.body:
        if isinstance(node, ast.If):  # what is imported on first use
            yield from public_names(node, inside)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith(
            inside
        ):
            yield from (alias.asname or alias.name for alias in node.names)


def make_page(subpackage):
    """Return the Markdown of a subpackage's page."""
    summary, names = describe(subpackage)
    blocks = [f"# keras_nc.{subpackage}", summary]
    options = "\n    options:\n      inherited_members: true"
    options *= subpackage in INHERITED
    blocks += [f"::: keras_nc.{subpackage}.{name}{options}" for name in names]
    return "\n\n".join(blocks) + "\n"


def on_config(config):
    """Add the pages to the navigation."""
    pages = [{name: f"reference/{name}.md"} for name in subpackages()]
    config.nav.append({"Reference": pages})
    return config


def on_files(files, config):
    """Add the pages to the files."""
    for name in subpackages():
        path = f"reference/{name}.md"
        files.append(File.generated(config, path, content=make_page(name)))
    return files
