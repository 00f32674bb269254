"""The rules for imports and names."""

import ast
import graphlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import keras
import pytest

import keras_nc
from keras_nc.imports import BACKENDS
from keras_nc.imports import choose_backend
from tests import processes
from tests.scripts import run_script

ROOT = pathlib.Path(keras_nc.__file__).parent
PROJECT = ROOT.parent
#: The imports between the parts of the package: no more, no less.
ARROWS = {
    "coding": set(),
    "losses": set(),
    "layers": {"coding"},
    "metrics": {"losses"},
    "entropy_models": {"coding", "layers"},
    "data": {"coding"},
    "tokenizers": {"coding", "entropy_models"},
    "models": {"coding", "layers", "losses", "metrics", "tokenizers"},
    "evaluation": {"coding", "data", "metrics"},
    "training": {"coding", "data", "evaluation", "models"},
    "cli": {
        "coding",
        "data",
        "entropy_models",
        "evaluation",
        "models",
        "tokenizers",
    },
}
#: Modules of the package itself, which import none of its parts.
BENEATH_ALL = {"imports", "presets", "progress"}
#: Optional packages.
EXTRAS = {"tensorflow", "tensorflow_text", "jax", "torch"}
EXTRAS |= {"brotli", "matplotlib", "tensorboardX"}
EXTRAS |= {"apache_beam", "array_record", "datasets", "fsspec", "pyarrow"}
EXTRAS |= {"tensorflow_datasets"}
#: Packages that are imported inside the functions that use them.
LAZY = EXTRAS | {"numba", "sentencepiece", "tokenizers"}
#: Parts that load Keras only when something needs it.
WITHOUT_KERAS = ("coding", "entropy_models", "data", "evaluation")
HEAVY = ("keras", "keras_hub", "tensorflow", "jax", "torch", "numba")


def modules(folder):
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree):
    """Return imported modules, and whether each import is at the top level."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def part_of(path):
    """Name the part of the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def parts():
    return {part_of(path) for path in ROOT.rglob("*.py")} - {"__init__"}


def test_imports_point_downwards():
    found = {name: set() for name in parts() - BENEATH_ALL}
    for path, tree in modules(ROOT):
        part = part_of(path)
        if part == "__init__":
            continue
        for name, _ in imported(tree):
            package, _, other = name.partition(".")
            other = other.partition(".")[0]
            if package != "keras_nc" or other in {part, *BENEATH_ALL}:
                continue
            if other not in found:  # such as `keras_nc.__version__`
                assert not (ROOT / other).exists(), f"{path}: {name}"
                continue
            assert part not in BENEATH_ALL, f"{path}: {name}"
            found[part].add(other)
    assert found == ARROWS
    # An order exists: every part below those that import it.
    placed = set()
    while placed != set(ARROWS):
        ready = {p for p in ARROWS if ARROWS[p] <= placed} - placed
        assert ready, "imports go round in a circle"
        placed |= ready


def test_no_modules_import_each_other():
    """Also not by imports inside functions."""
    graph = {}
    for path, tree in modules(ROOT):
        if path.name != "__init__.py":
            names = {name for name, _ in imported(tree)}
            # `from package import module`, or `from module import name`
            names |= {name.rpartition(".")[0] for name in names}
            parts = path.relative_to(PROJECT).with_suffix("").parts
            graph[".".join(parts)] = names
    graphlib.TopologicalSorter(graph).prepare()  # raises if there is a circle


def private_imports(path, tree, own):
    """Return imports of private names from parts other than `own`."""
    for name, _ in imported(tree):
        package, *rest = name.split(".")
        private = [n for n in rest if n.startswith("_") and n[:2] != "__"]
        if package == "keras_nc" and private and rest[0] != own:
            yield f"{path.relative_to(PROJECT)}: {name}"


def test_private_means_private():
    found = []
    for path, tree in modules(ROOT):
        found += private_imports(path, tree, part_of(path))
    for folder in ("recipes", "benchmarks", "tests"):
        for path, tree in modules(PROJECT / folder):
            found += private_imports(path, tree, None)
    assert found == []


def test_heavy_libraries_are_imported_only_when_used():
    for path, tree in modules(ROOT):
        keras = {"keras", "keras_hub"} if part_of(path) == "coding" else set()
        for name, at_top in imported(tree):
            head = name.split(".")[0]
            assert head not in keras, f"{path}: {name}"
            assert not (at_top and head in LAZY), f"{path}: {name}"


def test_names_of_the_package():
    assert parts() - BENEATH_ALL <= set(dir(keras_nc)) | {"cli"}
    for name in parts() - BENEATH_ALL - {"cli"}:
        assert getattr(keras_nc, name).__name__ == f"keras_nc.{name}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keras_nc.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["__init__", "data/__init__"])
def test_what_editors_are_told_is_imported(name):
    """Names under TYPE_CHECKING are those that are imported on first use."""
    tree = ast.parse((ROOT / f"{name}.py").read_text())
    told, *_ = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module for node in told.body for alias in node.names
    }
    (call,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    ]
    lazy = ast.literal_eval(call.args[1])
    own = {name: f"keras_nc.{name}" for name in told}
    expected = own if name == "__init__" else told
    assert lazy == expected


def loaded_after(code, names=HEAVY, **kwargs):
    """Return which of some modules a fresh process has after running code."""
    script = (
        f"import sys\n{code}\nprint([n for n in {names!r} if n in sys.modules])"
    )
    return ast.literal_eval(
        run_script(script, bare=True, **kwargs).splitlines()[-1]
    )


def test_what_needs_no_keras_does_not_load_it():
    for name in WITHOUT_KERAS:
        assert loaded_after(f"import keras_nc.{name}") == [], name


def test_windows_and_shards_need_no_keras(tmp_path):
    """All that turns text into ids, except tokenizer layers."""
    loaded = loaded_after(
        f"""
import keras_nc
from keras_nc.entropy_models import NGramModel, UnigramModel
for model in (UnigramModel, NGramModel):
    model = model.from_text(b"some text")
    codebook = keras_nc.coding.Codebook.paper(model, window_bits=9)
    codebook.save({str(tmp_path / "codebook.npz")!r})
    codebook = keras_nc.coding.Codebook.load({str(tmp_path / "codebook.npz")!r})
    assert codebook.decode(codebook.encode(b"text")) == b"text"
"""
    )
    assert loaded == ["numba"]


def import_all():
    return "\n".join(f"import keras_nc.{name}" for name in sorted(ARROWS))


def test_no_backend_but_the_one_in_use_is_loaded():
    """What keras-hub loads on its own is not ours."""
    printed = run_script(
        f"""
import sys
import keras_hub
print([n for n in {HEAVY} if n in sys.modules])
{import_all()}
print([n for n in {HEAVY} if n in sys.modules])
""",
        bare=True,
    )
    theirs, ours = map(ast.literal_eval, printed.splitlines()[-2:])
    assert ours == theirs and keras.config.backend() in ours


def test_all_parts_import_where_only_one_backend_is_installed():
    backend = keras.config.backend()
    others = EXTRAS - {backend}
    if backend == "tensorflow":
        others -= {"tensorflow_text"}  # keras-hub wants both or none
    printed = run_script(
        f"""
import sys
for name in {sorted(others)}:
    sys.modules[name] = None  # cannot be imported
{import_all()}
ids = keras_nc.tokenizers.ByteTokenizer()("hi")
print(ids.tolist())
""",
        bare=True,
    )
    assert printed.splitlines()[-1] == "[107, 108]"


def test_importing_is_cheap():
    printed = run_script(
        """
import sys
import time
import keras_hub
import numpy
start = time.process_time()  # the machine may be busy
import keras_nc  # registers all classes, because keras-hub is there
middle = time.process_time()
assert "numba" not in sys.modules
print(middle - start)
""",
        bare=True,
    )
    assert float(printed.split()[-1]) < 1.5


@pytest.fixture(scope="module")
def preset(tmp_path_factory, make_m1):
    folder = tmp_path_factory.mktemp("preset")
    make_m1().save_to_preset(str(folder))
    return str(folder)


def test_presets_are_found_when_the_package_comes_first(preset):
    printed = run_script(
        f"""
import keras_nc
print(type(keras_nc.models.ByteCausalLM.from_preset({preset!r})).__name__)
import keras_hub
import keras_nlp
for library in (keras_hub, keras_nlp):
    print(type(library.models.CausalLM.from_preset({preset!r})).__name__)
""",
        bare=True,
    )
    assert printed.split()[-3:] == ["ByteCausalLM"] * 3


@pytest.mark.parametrize("library", ["keras_hub", "keras_nlp"])
@pytest.mark.parametrize("ours", ["keras_nc", "keras_nc.models"])
def test_presets_are_found_when_the_package_comes_last(preset, library, ours):
    printed = run_script(
        f"""
import sys
assert "keras_nc" not in sys.modules
import {library}
import {ours}
print(type({library}.models.CausalLM.from_preset({preset!r})).__name__)
"""
    )
    assert printed.split()[-1] == "ByteCausalLM"


@pytest.mark.parametrize("program", ["keras-nc.py", "keras-nc", "other.py"])
def test_a_script_of_any_name_gets_the_package(tmp_path, program):
    path = tmp_path / program
    path.write_text("import keras_nc; print(keras_nc.coding.END_ID)")
    result = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr


def test_the_backend_that_is_chosen(monkeypatch):
    """A set backend stays; otherwise it is that of Keras, if imported."""
    in_use = keras.config.backend()
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert choose_backend() == in_use == os.environ["KERAS_BACKEND"]
    for unknown in ("theano", "Torch"):
        monkeypatch.setenv("KERAS_BACKEND", unknown)
        with pytest.raises(ValueError, match=f"KERAS_BACKEND={unknown}; "):
            choose_backend()
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    printed = run_script(
        """
import os
import sys
from keras_nc.imports import choose_backend
print(choose_backend(), os.environ["KERAS_BACKEND"], "keras" in sys.modules)
""",
        bare=True,
    )
    first = next(filter(importlib.util.find_spec, BACKENDS))
    assert printed.split() == [first, first, "False"]


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "pyproject.toml"])
def test_project_files_exist(name):
    assert (PROJECT / name).stat().st_size > 0


WHEEL = """
import sys
from setuptools import build_meta
print(build_meta.build_wheel(sys.argv[1]))
"""
INSTALLED = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import keras_nc
from keras_nc import presets, tokenizers
assert pathlib.Path(keras_nc.__file__).is_relative_to(sys.argv[1])
for name, entry in presets.PRESETS.items():
    assert pathlib.Path(entry["kaggle_handle"], "README.md").exists(), name
tokenizer = tokenizers.EqualInfoTokenizer.from_preset("equal_info_16bit_en")
print(tokenizer.detokenize(tokenizer("from a wheel")).decode())
"""


def test_a_wheel_holds_the_presets(tmp_path):
    """Build a wheel of a copy of the tree, unpack it, and use it alone."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT, tree / "keras_nc", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tree)
    built = processes.run(["-c", WHEEL, str(tmp_path)], folder=tree)
    assert built.returncode == 0, built.stderr[-4000:]
    wheel = tmp_path / built.stdout.splitlines()[-1]
    assert wheel.stat().st_size < 25e6
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    used = processes.run(
        ["-c", INSTALLED, str(installed)],
        folder=tmp_path,
    )
    assert used.returncode == 0, used.stderr[-4000:]
    assert used.stdout.splitlines()[-1] == "from a wheel"
