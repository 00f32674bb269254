"""The tutorials run from top to bottom, and their claims hold."""

import base64
import json
import pathlib
import re

import keras
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parents[2] / "tutorials"
NAMES = ["quickstart", "your_own_text"]
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
#: Tiny models spend their time being compiled; XLA need not optimize them.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)
PNG = b"\x89PNG\r\n\x1a\n"


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def is_tagged(cell):
    return cell.metadata.get("tags") == ["parameters"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that executes a notebook in an empty folder."""
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    if keras.backend.backend() == "jax":
        monkeypatch.setenv("XLA_FLAGS", XLA_FLAGS)
    monkeypatch.delenv("MPLBACKEND", raising=False)

    def run(name, parameters, wanted):
        """Return the values of expressions at the end, and all pictures."""
        notebook = read(name)
        (at,) = [i for i, cell in enumerate(notebook.cells) if is_tagged(cell)]
        settings = [f"{key} = {value!r}" for key, value in parameters.items()]
        injected = nbformat.v4.new_code_cell("\n".join(settings))
        notebook.cells.insert(at + 1, injected)
        items = [f"{key!r}: {code}" for key, code in wanted.items()]
        notebook.cells.append(
            nbformat.v4.new_code_cell(
                f"import json\nprint(json.dumps({{{', '.join(items)}}}))"
            )
        )
        # An error in any cell is raised here, with the cell's traceback.
        NotebookClient(
            notebook,
            timeout=600,
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        found = json.loads(cells[-1].outputs[-1].text)
        pictures = [
            base64.b64decode(output.data["image/png"])
            for cell in cells
            for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]
        return found, pictures

    return run


def test_quickstart(run):
    found, pictures = run(
        "quickstart",
        parameters=dict(
            TEXT_BYTES=300_000,
            LAYERS=1,
            WIDTH=32,
            M1_STEPS=20,
            M2_STEPS=40,
            WINDOW_BITS=10,
        ),
        wanted={
            "m1": "m1_history.history['bits_per_byte']",
            "arithmetic": "arithmetic_decode("
            "arithmetic_encode(sample[:3000]), 3000) == sample[:3000]",
            "sum of bits": "float(bits.sum() / len(windows))",
            "stable": "stable",
            "needed": "[list(map(float, bits)) for bits in needed.values()]",
            "windows": "int(len(known))",
            "uniform": "uniform",
            "unigram": "float(unigram)",
            "m2": "m2_bits",
            "remainder": "split.remainder.decode()",
            "allowed": "[codebook.token_bytes(i).decode('latin-1') "
            "for i in allowed]",
            "kept": "[t.startswith(p) for p, t in zip(prompts, texts)]",
            "new": "[len(t) - len(p) for p, t in zip(prompts, texts)]",
        },
    )
    assert found["m1"][-1] < found["m1"][0] < 8.5
    assert found["m1"][-1] < 6
    assert found["arithmetic"]
    assert 5 < found["sum of bits"] < 12
    assert found["stable"]["windows"] > 0.5
    assert found["stable"]["arithmetic code"] < 0.25
    text, arithmetic, windows = found["needed"]
    assert text[0] == arithmetic[0] == 8 and windows[0] == 10
    assert text[2] < text[1] < 5.5
    # Nothing can be learned from the arithmetic code; pairs even mislead.
    assert 7.9 < arithmetic[1] < 8.1 and arithmetic[2] > 7.9
    assert windows[2] < windows[1] < 10 and windows[2] < 9.5
    assert found["windows"] == 2**10 - 3
    assert found["m2"][-1] < found["uniform"] and len(found["m2"]) == 10
    assert found["unigram"] < found["uniform"]
    assert len(found["remainder"]) > 1 and found["allowed"]
    assert all(w.startswith(found["remainder"]) for w in found["allowed"])
    assert len(found["kept"]) == 6 and all(found["kept"])
    assert max(found["new"]) > 10
    assert len(pictures) == 8
    assert all(picture.startswith(PNG) for picture in pictures)


def test_your_own_text(run, tmp_path):
    found, pictures = run(
        "your_own_text",
        parameters=dict(
            MAX_BYTES=150_000, WINDOW_BITS=10, LAYERS=1, WIDTH=32, STEPS=30
        ),
        wanted=OWN_TEXT,
    )
    assert found["bytes"] == 150_000
    check_own_text(found, pictures, 2**10)
    # Enough steps to tell that each model learns.
    for model in ("windows", "pieces"):
        bits, uniform = found[model]
        assert bits[-1] < uniform
    assert (tmp_path / "own_text_files" / "codebook.npz").is_file()


def test_your_own_text_of_files(run, tmp_path, text):
    """Run it like readers, with one small file and very few steps."""
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    (folder / "text.txt").write_bytes(text[:60_000])
    found, pictures = run(
        "your_own_text",
        parameters=dict(
            FILES="mine/**/*.txt", WINDOW_BITS=9, LAYERS=1, WIDTH=4, STEPS=1
        ),
        wanted=OWN_TEXT,
    )
    assert found["bytes"] == 60_000
    check_own_text(found, pictures, 2**9)
    assert (tmp_path / "own_text_files" / "codebook.npz").is_file()


OWN_TEXT = {
    "bytes": "sum(map(len, train)) + sum(map(len, held_out))",
    "results": "results",
    "exact": "tokenizer.detokenize(tokenizer(held_out)) == held_out",
    "fingerprints": "[codebook.fingerprint, "
    "loaded.preprocessor.tokenizer.fingerprint]",
    "windows": "[m2_bits, uniform]",
    "pieces": "[pieces_bits, pieces_uniform]",
    "loaded": "found['bits_per_byte']",
    "kept": "[t.startswith(p) for p, t in zip(prompts, texts)]",
    "new": "[len(t) - len(p) for p, t in zip(prompts, texts)]",
}


def check_own_text(found, pictures, vocabulary_size):
    """Check claims that hold for any text and any training."""
    results = found["results"]
    assert list(results) == ["windows", "SentencePiece"]
    for row in results.values():
        assert row["vocabulary"] == vocabulary_size
        assert row["bytes per token"] > 1.4
        assert row["encodes MB/s"] > 0
    assert found["exact"]
    codebook, tokenizer = found["fingerprints"]
    assert tokenizer.startswith(codebook)
    for model in ("windows", "pieces"):
        bits, uniform = found[model]
        assert len(bits) == 5
        assert all(0.5 < b < 2 * uniform for b in bits)
    bits, _ = found["windows"]
    assert found["loaded"] == pytest.approx(bits[-1], abs=1e-3)
    assert all(found["kept"]) and max(found["new"]) > 10
    assert len(pictures) == 2
    assert all(picture.startswith(PNG) for picture in pictures)


def test_all_tutorials_are_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_nothing_of_a_run(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    assert sum(map(is_tagged, notebook.cells)) == 1
    for cell in notebook.cells:
        assert cell.metadata == {} or is_tagged(cell)
        # Ids are set by hand, because random ones would change with every edit.
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", cell.id)
        if cell.cell_type == "code":
            assert cell.execution_count is None and cell.outputs == []
    # Write like nbformat, so that an edit changes only its lines.
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == nbformat.writes(notebook) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_readers_find_their_way(name):
    cells = read(name).cells
    first = cells[0].source
    assert first.startswith("# ")
    assert f"/blob/main/tutorials/{name}.ipynb)" in first
    headings = [c.source for c in cells if c.source.startswith("## ")]
    assert len(headings) >= 6
    install, backend, parameters = [c for c in cells if c.cell_type == "code"][
        :3
    ]
    assert "find_spec" in install.source and "%pip install" in install.source
    assert "KERAS_BACKEND" in backend.source
    assert is_tagged(parameters)
    assert all("import keras" not in c.source for c in (install, backend))
