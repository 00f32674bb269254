"""Every example in the package's docstrings runs and shows its output."""

import doctest
import importlib
import pathlib
import pkgutil

import pytest

import keras_nc

NAMES = [
    module.name
    for module in pkgutil.walk_packages(keras_nc.__path__, "keras_nc.")
]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


def test_examples_exist():
    parser = doctest.DocTestParser()
    with_examples = [
        name
        for name in NAMES
        if parser.get_examples(
            pathlib.Path(importlib.import_module(name).__file__).read_text()
        )
    ]
    assert len(with_examples) > 15
