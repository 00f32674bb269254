"""The rules of the house."""

import ast
import pathlib

import pytest

import keras_nc
from tests.scripts import run_script

ROOT = pathlib.Path(keras_nc.__file__).parent
#: What each room may import of this package, besides itself.
BENEATH = {
    "coding": set(),
    "entropy_models": {"coding"},
    "layers": {"coding"},
    "metrics": {"coding"},
    "tokenizers": {"coding", "entropy_models", "layers", "metrics"},
    "models": {"coding", "entropy_models", "layers", "metrics", "tokenizers"},
}
BENEATH["data"] = BENEATH["models"] | {"models"}
BENEATH["training"] = BENEATH["data"] | {"data"}
BENEATH["evaluation"] = BENEATH["data"] | {"data"}
BENEATH["cli"] = BENEATH["data"] | {"data"}
FORBIDDEN = {"coding": {"keras", "keras_hub", "tensorflow", "jax", "torch"}}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree):
    """Names of imported modules, and whether that is at the top level."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module, id(node) in top


def test_imports_point_downwards():
    rooms = set()
    for path, tree in modules():
        room = path.relative_to(ROOT).parts[0]
        if room == "__init__.py":
            continue
        rooms.add(room)
        for name, _ in imported(tree):
            if name.startswith("keras_nc."):
                other = name.split(".")[1]
                assert other in BENEATH[room] | {room}, f"{path}: {name}"
            head = name.split(".")[0]
            assert head not in FORBIDDEN.get(room, ()), f"{path}: {name}"
    assert rooms == set(BENEATH)


def test_backends_and_numba_are_imported_only_when_used():
    lazy = {"tensorflow", "tensorflow_text", "jax", "torch", "sentencepiece"}
    lazy |= {"tokenizers"}
    # What only an extra brings.
    lazy |= {"brotli", "matplotlib", "tensorboardX"}
    for path, tree in modules():
        for name, at_top in imported(tree):
            head = name.split(".")[0]
            assert not (at_top and head in lazy), f"{path}: {name}"


def test_importing_is_cheap():
    code = """
        import sys
        import time
        import keras_hub
        start = time.process_time()  # the machine may be busy
        import keras_nc
        print(time.process_time() - start)
        assert "numba" not in sys.modules
    """
    assert float(run_script(code, bare=True).split()[-1]) < 0.5


def test_importing_needs_no_tensorflow():
    printed = run_script(
        """
        import keras_nc
        ids = keras_nc.tokenizers.ByteTokenizer()("hi")
        print(ids.tolist())
        """,
        backend="jax",
        tensorflow=False,
    )
    assert printed.strip() == "[107, 108]"


def test_numba_compiles_only_when_used():
    printed = run_script(
        """
        import sys
        import keras_nc
        from keras_nc.entropy_models import UnigramModel
        before = "numba" in sys.modules
        model = UnigramModel.from_text(b"some text")
        codebook = keras_nc.coding.Codebook.paper(model, window_bits=9)
        assert codebook.decode(codebook.encode(b"text")) == b"text"
        print(before, "numba" in sys.modules)
        """,
        bare=True,
    )
    assert printed.split() == ["False", "True"]


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "pyproject.toml"])
def test_project_files_exist(name):
    assert (ROOT.parent / name).stat().st_size > 0
