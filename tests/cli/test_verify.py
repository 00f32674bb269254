"""`verify` names damaged files; `inspect` says what it has not checked."""

import json
import shutil

import h5py
import numpy as np
import pytest

from keras_nc.cli.block_coders import CodeBlocks
from keras_nc.cli.container import ContainerWriter
from keras_nc.data import write_shards
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer


def flip(path, position=None):
    """Flip a bit of a file, by default in its middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.write_bytes(bytes(data))


@pytest.fixture
def refused(run):
    """A function that verifies a damaged path; it returns the error line."""

    def verify(*arguments):
        code, out, err = run("verify", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("keras-nc: error: ") and err.count("\n") == 1
        return err

    return verify


@pytest.fixture
def accepted(run):
    """A function that verifies an intact path; it returns the line."""

    def verify(*arguments):
        code, out, err = run("verify", *arguments)
        assert (code, err) == (0, "")
        assert out.startswith(f"{arguments[0]}: ") and out.count("\n") == 1
        return out

    return verify


@pytest.fixture
def shards(folder, codebook):
    documents = folder.joinpath("text").read_bytes().split(b"\n\n")
    write_shards(
        documents,
        EqualInfoTokenizer(codebook),
        folder / "shards",
        shard_tokens=4096,
    )
    return folder / "shards"


def test_every_file_of_shards(run, accepted, refused, shards):
    assert "They are as they were written" in accepted("shards")
    files = sorted(shards.glob("*.npy"))
    assert len(files) > 6
    for path in files:
        content = path.read_bytes()
        flip(path, len(content) - 1)
        assert path.name in refused("shards")
        path.write_bytes(content)


def test_inspect_does_not_claim_to_have_checked(run, shards):
    flip(sorted(shards.glob("tokens-*.npy"))[1], 1000)
    code, out, _ = run("inspect", "shards")
    assert code == 0
    assert "the files' content; `keras-nc verify shards` does" in out


def test_encoded_files(run, accepted, refused, folder, uniform):
    run("encode", "text", "--with", "book.npz")
    assert "The text was not checked" in accepted("text.knc")
    assert "the 50,000 bytes" in accepted("text.knc", "--with", "book.npz")
    _, out, _ = run("inspect", "text.knc")
    assert "the text; `keras-nc verify --with` does" in out
    uniform.save("other.npz")
    assert "needs" in refused("text.knc", "--with", "other.npz")
    flip(folder / "text.knc")
    assert "'text.knc' with a block" in refused("text.knc")
    flip(folder / "text.knc")
    path = folder / "text.knc"
    path.write_bytes(path.read_bytes()[:-1])
    assert "its end cut off" in refused("text.knc", "--with", "book.npz")


def test_codes_of_another_text(accepted, refused, folder, codebook):
    """Only decoding can find this damage."""
    with open("odd.knc", "wb") as sink:
        writer = ContainerWriter(sink, codebook.fingerprint)
        text = b"she sells"
        writer.write(CodeBlocks(codebook).pack(text))
        writer.finish(9, bytes(32))
    assert "The text was not checked" in accepted("odd.knc")
    assert "match its checksum" in refused("odd.knc", "--with", "book.npz")


def test_codebooks(accepted, refused, folder, codebook):
    assert codebook.fingerprint in accepted("book.npz")
    flip(folder / "book.npz")
    assert "'book.npz'" in refused("book.npz")


@pytest.fixture
def copied(folder, presets):
    """A function that copies a preset here."""

    def copy(name):
        shutil.copytree(presets / name, folder / name)
        return folder / name

    return copy


def test_presets_as_they_were(accepted, copied, codebook, uniform, folder):
    copied("m2")
    copied("tokenizer")
    out = accepted("m2")
    assert "weights, finite" in out and codebook.fingerprint in out
    assert codebook.fingerprint in accepted("tokenizer")


def test_the_codebook_of_a_preset(refused, copied, uniform):
    path = copied("m2") / "assets" / "tokenizer" / "codebook.npz"
    content = path.read_bytes()
    flip(path)
    assert "codebook.npz" in refused("m2")
    path.unlink()
    assert "codebook.npz" in refused("m2")
    uniform.save(path)
    assert "fingerprint" in refused("m2")
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["config.json", "task.json", "tokenizer.json"])
def test_the_configuration_of_a_preset(refused, copied, name):
    path = copied("m1") / name
    path.write_text(path.read_text()[:-5])
    assert "m1" in refused("m1")


def test_settings_that_do_not_fit_the_weights(refused, copied):
    path = copied("m1") / "config.json"
    config = json.loads(path.read_text())
    config["config"]["hidden_dim"] *= 2
    path.write_text(json.dumps(config))
    assert "'m1'" in refused("m1")


def test_the_weights_of_a_preset(refused, copied):
    path = copied("m1") / "model.weights.h5"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "'m1'" in refused("m1")
    path.unlink()
    assert "'m1'" in refused("m1")
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(
            lambda name, item: (
                found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        file[found[0]][...] = np.nan
    assert "infinities or NaN" in refused("m1")


def test_the_entropy_model_of_a_preset(accepted, refused, folder):
    from keras_nc.entropy_models import UnigramModel

    model = UnigramModel.from_text(b"she sells sea shells")
    tokenizer = LiveWindowTokenizer(model, window_bits=32, token_bits=8)
    tokenizer.save_to_preset(str(folder / "live"))
    assert tokenizer.fingerprint in accepted("live")
    flip(folder / "live" / "assets" / "tokenizer" / "entropy_model.npz")
    assert "'live'" in refused("live")


def test_what_is_nothing_of_ours(refused, folder, presets):
    folder.joinpath("empty").touch()
    folder.joinpath("nothing").mkdir()
    assert "'empty', which is empty" in refused("empty")
    assert "holds neither" in refused("nothing")
    assert "begins with" in refused("text")
    assert "No such file" in refused("nowhere")
    assert "Leave it out" in refused("book.npz", "--with", "book.npz")
