"""Text of another kind than the training text."""

import zipfile

import pytest

from recipes.engine import unseen


def test_the_lee_corpus_is_read_from_a_wheel(tmp_path, monkeypatch):
    if unseen.gensim_folder() is not None:
        assert len(unseen.lee_background()) == 300
        return
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="pip download gensim --no-deps"):
        unseen.unseen_documents(("lee",), "text")
    wheel = tmp_path / "gensim-4.4.0-any.whl"
    wheel.write_bytes(b"not a wheel")
    with pytest.raises(ValueError, match="must be a wheel of gensim"):
        unseen.unseen_documents(("lee",), "text")
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(
            "gensim/test/test_data/lee_background.cor", "One story.\nTwo.\n"
        )
    found = list(unseen.unseen_documents(("lee",), "text"))
    assert found == [b"One story.", b"Two."]
