"""README and documentation are right: blocks run, and links work."""

import importlib
import json
import os
import re
import subprocess
import sys
import types

import keras
import pytest
import yaml

import keras_nc
from tests import commands
from tests import pages
from tests import processes

ROOT = commands.ROOT
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: "console" blocks are for other machines, so they are not run.
LANGUAGES = {"python", "sh", "console", "text", "bibtex"}
# Other backends run only the Python of the README.
FIRST = keras.backend.backend() == "torch"
RUN = PAGES if FIRST else [ROOT / "README.md"]
first_only = pytest.mark.skipif(not FIRST, reason="tested once, with torch")


def page_id(path):
    return path.relative_to(ROOT).as_posix()


def plan_page(path, folder):
    """Return the steps of a page, and the block of each step."""
    steps, owners = [], []
    for block in pages.read_blocks(path.read_text()):
        if block.language == "python":
            where = {"file": str(path), "line": block.line}
            steps.append({"python": block.text, **where})
            owners.append(block)
        elif block.language == "sh" and FIRST:
            planned = map(commands.plan, pages.commands_of(block))
            for command, environment in filter(None, planned):
                step = {"command": command, "environment": environment}
                steps.append(step)
                owners.append(block)
    if any(commands.needs_files(step.get("command", [])) for step in steps):
        commands.prepare(folder)
    return steps, owners


def run_pages(paths, folder):
    """Run pages in one process; return a dict of results."""
    given, owners = [], {}
    for number, path in enumerate(paths):
        own = folder / f"page{number}"
        own.mkdir()
        try:
            steps, owners[path] = plan_page(path, own)
        except AssertionError as error:
            # This fails only this page.
            lying = f"raise AssertionError({str(error)!r})"
            steps = [{"python": lying, "file": str(path), "line": 1}]
            owners[path] = []
        given.append({"folder": str(own), "steps": steps})
    files = folder / "pages.json", folder / "results.json"
    files[0].write_text(json.dumps(given))
    result = processes.run(
        ["-m", "tests.page_runner", *files],
        folder,
        {"PYTHONPATH": str(ROOT)},
        timeout=1800,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    results = json.loads(files[1].read_text())
    return {
        path: {"owners": owners[path], **outcome}
        for path, outcome in zip(paths, results, strict=True)
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of the pages."""
    return run_pages(RUN, tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("path", RUN, ids=page_id)
def test_blocks_run_and_print_what_is_quoted(path, results):
    check_page(path, **results[path])


def check_page(path, owners, outputs, error):
    """Compare the quotes of a page with its output."""
    assert not error, f"{path.name}: {error}"
    printed = {}
    for block, texts in zip(owners, outputs, strict=True):
        text = "".join(text for _, text in texts)
        printed[block.line] = printed.get(block.line, "") + text
        if block.language == "python":
            check_comments(block, dict(texts))
    for block in owners:
        if block.quoted is not None:
            assert pages.same_shape(block.quoted, printed[block.line]), (
                f"{path.name}:{block.line} quotes\n{block.quoted}\nbut got\n"
                f"{printed[block.line]}"
            )


def check_comments(block, outputs):
    """Compare comments beside statements with the output of the statements."""
    quoted = pages.quoted_comments(block.text)
    for line in (outputs.keys() | pages.print_lines(block.text)) & set(quoted):
        assert pages.same_shape(quoted[line], outputs.get(line, "")), (
            f"line {block.line + line - 1}: the comment {quoted[line]!r} is "
            f"not what is printed: {outputs.get(line)!r}. A comment on "
            "something else goes above the line."
        )


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_blocks_are_of_known_kinds(path):
    for block in pages.read_blocks(path.read_text()):
        assert block.language in LANGUAGES, f"{path}:{block.line}"
        if block.language == "sh":
            planned = map(commands.plan, pages.commands_of(block))
            # Blocks that are not run have no output to compare.
            assert block.quoted is None or any(planned), f"{path}:{block.line}"
        if block.language == "bibtex":
            check_citation(block.text)


def check_citation(text):
    """Compare a BibTeX entry with CITATION.cff."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    works = [citation, *citation["references"]]
    title = re.search(r"\btitle\s*=\s*[{\"]+(.*?)[}\"]+,?\s*$", text, re.M)[1]
    (work,) = [work for work in works if work["title"] in title]
    for author in work["authors"]:
        name = author.get("family-names") or author["name"]
        assert name.replace("_", r"\_") in text or name in text


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_between_files_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        target = target.partition("#")[0]
        generated = target.startswith("reference/")  # mkdocs checks those
        if target and "://" not in target and not generated:
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_readme_shows_python_and_commands():
    blocks = pages.read_blocks((ROOT / "README.md").read_text())
    assert {"python", "sh"} <= {block.language for block in blocks}


def test_readmes_tree_names_every_subpackage():
    subpackages = {
        path.parent.name for path in ROOT.glob("keras_nc/*/__init__.py")
    }
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^  (\w+)/ ", text, re.M))
    assert subpackages - named == set()
    for name in named:
        assert list(ROOT.glob(f"*/{name}")), f"{name} is no folder"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built as `make docs` does."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


@first_only
def test_every_public_name_is_on_a_page(site):
    subpackages = [
        path.parent.name for path in ROOT.glob("keras_nc/*/__init__.py")
    ]
    assert len(subpackages) >= 7
    # A command has a page of its own.
    for subpackage in set(subpackages) - {"cli"}:
        page = (site / "reference" / f"{subpackage}.html").read_text()
        module = importlib.import_module(f"keras_nc.{subpackage}")
        for name in dir(module):
            value = getattr(module, name)
            hidden = name.startswith("_") or isinstance(value, types.ModuleType)
            if not hidden:
                assert f'id="keras_nc.{subpackage}.{name}"' in page, name


@first_only
def test_the_site_fetches_nothing(site):
    for path in site.rglob("*.html"):
        sources = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"?(\S+)", path.read_text()
        )
        assert sources
        assert not [s for s in sources if s.startswith(("http", "//"))], path


@first_only
def test_examples_are_examples_on_the_site(site):
    page = (site / "reference" / "coding.html").read_text()
    assert page.count("Examples:") > 5
    assert "<blockquote>" not in page


@first_only
def test_project_files_name_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == keras_nc.__version__
    assert {"message", "title", "authors"} <= citation.keys()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(
        rf"^## \[{re.escape(keras_nc.__version__)}\]", changes, re.M
    )


def test_shapes():
    assert pages.same_shape("loss 1.234  at 12,000", "loss 2e-5 at\n7\n")
    assert pages.same_shape("a 1\n...\nb", "a 2\nsomething\nb\n")
    assert not pages.same_shape("a 1\nb", "a 2\nsomething\nb\n")
    assert not pages.same_shape("1 MB/s", "1 GB/s")
    assert pages.same_shape("id 0123456789ab", "id fedcba987654")
    source = "x = 1  # no output\nprint(x)  # 1\n# 2\n\n# else\n"
    assert pages.quoted_comments(source) == {1: " no output", 2: " 1 2"}
    assert pages.print_lines(source) == {2}


@first_only
def test_a_page_that_lies_fails(tmp_path):
    lies = {
        "comment": "```python\nprint('a', 1)  # b 1\n```\n",
        "below": "```python\nprint('a')\n# b\n```\n",
        "text": "```python\nprint('a')\n```\n\n```text\nb\n```\n",
        "silence": "```python\nx = 1\n```\n```text\n1\n```\n",
        "error": "```python\nx\n```\n",
        "exit": "```python\nraise SystemExit(0)\n```\n",
    }
    truth = "```python\nprint('a', 1)  # a 2\nx = 1  # b\n```\n"
    paths = []
    for name, text in {**lies, "truth": truth}.items():
        paths.append(tmp_path / f"{name}.md")
        paths[-1].write_text(text)
    *found, last = run_pages(paths, tmp_path).items()
    for path, result in found:
        with pytest.raises(AssertionError):
            check_page(path, **result)
    check_page(last[0], **last[1])


def test_commands_are_reduced_or_refused():
    command, environment = commands.plan(
        "KERAS_BACKEND=torch python -m recipes.show_collision"
    )
    assert command[1:] == ["-m", "recipes.show_collision"]
    assert environment == {"KERAS_BACKEND": "torch"}
    flags = ["--config", "tiny", "--workdir=/data/demo", "--resume"]
    small = ["--config=smoke", "--workdir=demo", "--resume"]
    assert commands.reduce_flags(flags, commands.SMOKE) == small
    flags = ["--data", "a.txt"]
    small = ["--data=sample/*.txt", "--config=smoke"]
    assert commands.reduce_flags(flags, commands.SMOKE) == small
    for unknown in (
        "rm -rf build",
        "python train.py",
        "python -m recipes.no_such_recipe",
        "make no-such-target",
        'pip install -e ".[no_such_extra]"',
        "keras-nc inspect codebook.npz | head",
    ):
        with pytest.raises(AssertionError):
            commands.plan(unknown)
