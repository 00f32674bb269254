import ast
import sys
import warnings

import pytest

from keras_nc.data import docstrings


def test_cleaned_docstrings_in_source_order():
    source = b'''"""Module."""
class A:
    """Class.

    Args:
        Indented.
    """
    def f(self):
        "Method."
        try:
            async def g(): "Inner."
        except ValueError:
            def h(): "Handler."
        else:
            x = "no docstring"
match 1:
    case 1:
        def k(): "Case."
'''
    assert docstrings.extract_docstrings(source) == [
        "Module.",
        "Class.\n\nArgs:\n    Indented.",
        "Method.",
        "Inner.",
        "Handler.",
        "Case.",
    ]


@pytest.mark.parametrize(
    "source", [b"def (", b"\x00", b"'\xff'", b"print 'two'", b"(" * 10_000]
)
def test_unparsable_sources_are_skipped(source):
    assert docstrings.extract_docstrings(source) == []


def test_invalid_escapes_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert docstrings.extract_docstrings(rb"'a \d'") == [r"a \d"]


def test_topics():
    source = b"# comment\ntopics = {'b': 'two', 'a': 'one'}"
    topics = docstrings.extract_topics(source)
    assert list(topics.items()) == [("a", "one"), ("b", "two")]
    assert docstrings.extract_topics(b"topics = [") == {}


def test_test_folders_are_left_out():
    modules = [name for name, _ in docstrings.find_modules("stdlib")]
    assert "asyncio.base_events" in modules
    assert "asyncio" in modules
    assert not any(name.startswith("test.") for name in modules)
    assert not any("idle_test" in name for name in modules)
    assert not any("site-packages" in name for name in modules)


def test_barred_package_is_still_found(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert docstrings.find_package("h5py").name == "h5py"


def test_modules_parse_as_this_python_does():
    # The package's own sources are as good a sample as any.
    for name, path in docstrings.find_modules("keras_nc"):
        tree = docstrings.parse_source(path.read_bytes())
        expected = ast.get_docstring(tree)
        found = docstrings.extract_docstrings(path.read_bytes())
        assert expected is None or found[0] == expected, name
