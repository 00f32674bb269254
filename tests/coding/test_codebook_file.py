import hashlib
import os
import pickle
import zipfile

import numpy as np
import pytest

from keras_nc.coding import Codebook


@pytest.fixture
def path(arithmetic9, tmp_path):
    path = tmp_path / "codebook.npz"
    arithmetic9.save(path)
    return path


def rewrite(path, **changes):
    with np.load(path) as archive:
        fields = dict(archive)
    fields.update(changes)
    fields = {k: v for k, v in fields.items() if v is not None}
    np.savez(path, **fields)


def signed(path, **changes):
    """Changes fields and makes the fingerprint fit again."""
    rewrite(path, **changes)
    with np.load(path) as f:
        names = ("format_version", "window_bits", "max_window_bytes")
        names += ("allocation", "parse")
        line = " ".join(["keras_nc codebook", *(str(f[n]) for n in names)])
        content = f["lengths"].tobytes() + f["bytes"].tobytes()
    digest = hashlib.sha256(line.encode() + b"\n" + content).hexdigest()
    rewrite(path, fingerprint=digest)


def refused(path, match):
    with pytest.raises(ValueError, match=match) as error:
        Codebook.load(path)
    assert "codebook file must hold" in str(error.value)
    assert str(path) in str(error.value)


def test_a_saved_codebook_comes_back(codebook, tmp_path):
    path = tmp_path / "codebook.npz"
    codebook.save(path)
    loaded = Codebook.load(str(path))
    assert loaded == codebook
    for name in ("window_bits", "max_window_bytes", "allocation", "parse"):
        assert getattr(loaded, name) == getattr(codebook, name)
    assert np.array_equal(loaded.token_lengths, codebook.token_lengths)
    ids = codebook.encode(b"saved and loaded")
    assert loaded.encode(b"saved and loaded").tolist() == ids.tolist()
    assert os.listdir(tmp_path) == ["codebook.npz"]


def test_the_same_codebook_is_the_same_file(path, arithmetic9, tmp_path):
    again = tmp_path / "again.npz"
    arithmetic9.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_saving_replaces_whole_or_not_at_all(path, arithmetic9, monkeypatch):
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        arithmetic9.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["codebook.npz"]


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Codebook.load(tmp_path / "none.npz")


def test_truncated_files_are_refused(path):
    data = path.read_bytes()
    for n in [0, 1, 4, 100, *range(200, len(data), 499), len(data) - 1]:
        path.write_bytes(data[:n])
        refused(path, "Received")


def test_flipped_bytes_never_pass_unseen(path, arithmetic9):
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        contents = {i.filename: i.header_offset for i in archive.infolist()}
        sizes = {i.filename: i.file_size for i in archive.infolist()}
    refusals = 0
    places = list(range(0, len(data), 13))
    for at in places:
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        # Zip keeps dates and the like twice. They do not affect windows.
        try:
            assert Codebook.load(path) == arithmetic9
        except ValueError:
            refusals += 1
    assert refusals > 0.6 * len(places)
    # Every flip inside the stored data is detected.
    for name, start in contents.items():
        at = data.index(b"\x93NUMPY", start)
        for place in (at, at + 9, at + sizes[name] - 1):
            damaged = bytearray(data)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            refused(path, "Received")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a codebook", pickle.dumps([1, 2]), b"PK\x03\x04" + bytes(99)],
)
def test_foreign_files_are_refused(path, content):
    path.write_bytes(content)
    refused(path, "cannot be read")


def test_foreign_arrays_are_refused(path):
    np.savez(path, weights=np.zeros(3))
    refused(path, "fields.*weights")
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(path, "cannot be read")
    np.savez(path, allow_pickle=True, objects=np.array([{}, None]))
    refused(path, "cannot be read")


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_version_is_refused(path, version):
    signed(path, format_version=np.int64(version))
    refused(path, f"format_version={version}")


@pytest.mark.parametrize(
    "field", ["format_version", "parse", "lengths", "fingerprint"]
)
def test_missing_fields_are_refused(path, field):
    rewrite(path, **{field: None})
    refused(path, "fields")


def test_a_fingerprint_that_does_not_fit_is_refused(path):
    rewrite(path, fingerprint="0" * 64)
    refused(path, "does not match its fingerprint")
    signed(path)
    Codebook.load(path)


def swapped(lengths, content):
    content = content.copy()
    content[[0, -1]] = content[[-1, 0]]
    return lengths, content


def hole(lengths, content):
    """Without the window of a single byte."""
    lengths = lengths.copy()
    at = int(np.flatnonzero(lengths)[-1])
    content = content[: content.size - int(lengths[at])]
    lengths[at] = 0
    return lengths, content


def shifted(lengths, content):
    return np.roll(lengths, -1), content


def doubled(lengths, content):
    return np.minimum(lengths * 2, 255).astype(np.uint8), np.repeat(content, 2)


@pytest.mark.parametrize("spoil", [swapped, hole, shifted, doubled])
def test_windows_that_are_no_codebook_are_refused(path, spoil):
    with np.load(path) as f:
        lengths, content = spoil(f["lengths"], f["bytes"])
    signed(path, lengths=lengths, bytes=content)
    refused(path, "with")


@pytest.mark.parametrize(
    "changes",
    [
        {"window_bits": np.int64(8)},
        {"window_bits": np.int64(10)},
        {"window_bits": np.float64(9)},
        {"window_bits": np.array([9])},
        {"max_window_bytes": np.int64(0)},
        {"max_window_bytes": np.int64(1)},
        {"allocation": "other"},
        {"parse": "other"},
        {"parse": np.int64(1)},
        {"lengths": np.zeros(512, np.int32)},
        {"lengths": np.zeros((2, 256), np.uint8)},
        {"bytes": np.zeros(5, np.uint8)},
        {"costs": np.ones(512, np.uint16)},
        {"costs": np.zeros(0, np.uint8)},
        {"parse": "likely"},
    ],
)
def test_fields_that_do_not_fit_are_refused(path, changes):
    signed(path, **changes)
    refused(path, "with")


def test_codebooks_made_by_hand_are_checked():
    windows = {3 + b: bytes([b]) for b in range(256)}
    settings = dict(window_bits=9, max_window_bytes=4, allocation="tunstall")
    codebook = Codebook(windows, **settings)
    assert codebook.encode(b"\0\x01").tolist() == [3, 4]
    for spoil in ({300: b"abc"}, {2: b"a"}, {512: b"a"}, {3: b""}, {3: b"b"}):
        with pytest.raises(ValueError, match="Received"):
            Codebook({**windows, **spoil}, **settings)
