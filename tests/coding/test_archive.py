"""Atomic files, on any disk, and archives: any fault gives one error."""

import io
import os
import stat
import zipfile

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding.archive import FaultError
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import atomic_path
from keras_nc.coding.archive import one_error
from keras_nc.coding.archive import read_arrays
from keras_nc.coding.archive import write_arrays
from keras_nc.entropy_models import stepper_for


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back(tmp_path, compress):
    arrays = {"a": np.arange(999), "b": np.zeros((2, 3)), "c": np.str_("é")}
    path = tmp_path / "arrays.npz"
    write_arrays(path, arrays, compress)
    found = read_arrays(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_objects_are_not_read(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.array([{}, None]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        read_arrays(path)


@pytest.mark.parametrize("load", [Codebook.load, PrefixCache.load])
def test_claims_of_large_arrays_are_refused_before_they_are_read(
    load, tmp_path
):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": "<u4", "fortran_order": False, "shape": (10**11, 256)},
    )
    path = tmp_path / "large.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lengths.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"half of this machine.*again"):
        load(path)
    with pytest.raises(FaultError, match="97,656,250 MiB"):
        read_arrays(path)


@pytest.mark.parametrize(
    "fault, text",
    [
        (FaultError("no head"), "'name' with no head. Save"),
        (KeyError("head"), "cannot be read (KeyError: 'head'). Save"),
        (MemoryError(), "cannot be read (MemoryError). Save"),
    ],
)
def test_whatever_fails_is_one_error(fault, text):
    rule = ("name", "A file must be whole", "Save it again.")
    with (
        pytest.raises(ValueError, match="A file must be whole") as error,
        one_error(*rule),
    ):
        raise fault
    assert text in str(error.value)


def test_errors_of_the_system_stay(tmp_path):
    with pytest.raises(FileNotFoundError), one_error("name", "", ""):
        read_arrays(tmp_path / "missing")


@pytest.fixture
def cache(ngram):
    stepper = stepper_for(ngram, 1, 64)
    return PrefixCache.build(stepper, b"a", window_bits=24, max_prefixes=2)


def write(path, content=b"new"):
    with atomic_file(path) as file:
        file.write(content)


def write_by_path(path, content=b"new"):
    with atomic_path(path, suffix=".h5") as name, open(name, "wb") as file:
        file.write(content)


WRITERS = [write, write_by_path]


@pytest.mark.parametrize("write", WRITERS)
def test_a_missing_folder_is_named(write, tmp_path):
    path = tmp_path / "missing" / "name"
    with pytest.raises(FileNotFoundError, match=r"folder .* must exist") as e:
        write(path)
    assert str(path) in str(e.value) and ".tmp" not in str(e.value)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"folder .* must exist") as e:
        write(tmp_path / "file" / "name")
    assert ".tmp" not in str(e.value)


def test_all_that_saves_names_a_missing_folder(arithmetic9, cache, tmp_path):
    path = tmp_path / "missing" / "name.npz"
    for thing in (arithmetic9, cache):
        with pytest.raises(FileNotFoundError, match="must exist") as error:
            thing.save(path)
        assert str(path) in str(error.value)
        assert ".tmp" not in str(error.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("write", WRITERS)
def test_links_stay_and_their_files_are_replaced(write, tmp_path):
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
    target = tmp_path / "other" / "target"
    target.write_bytes(b"old")
    link = tmp_path / "here" / "link"
    link.symlink_to(target)
    for content in (b"new", b"newer"):
        write(link, content)
        assert link.is_symlink() and target.read_bytes() == content
    target.unlink()
    write(link, b"again")
    assert link.is_symlink() and target.read_bytes() == b"again"
    assert os.listdir(target.parent) == ["target"]
    assert os.listdir(link.parent) == ["link"]


@pytest.mark.skipif(
    not os.access("/dev/shm", os.W_OK), reason="needs another disk"
)
def test_a_link_to_another_disk_can_be_written_through(arithmetic9, tmp_path):
    link = tmp_path / "codebook.npz"
    target = f"/dev/shm/keras_nc-{os.getpid()}.npz"
    link.symlink_to(target)
    try:
        arithmetic9.save(link)
        assert Codebook.load(target) == Codebook.load(link) == arithmetic9
        assert link.is_symlink()
    finally:
        os.unlink(target)


@pytest.mark.parametrize("write", WRITERS)
def test_a_link_into_a_missing_folder_is_named(write, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "missing" / "target")
    with pytest.raises(FileNotFoundError, match="must exist") as error:
        write(link)
    assert str(link) in str(error.value)


@pytest.mark.parametrize("write", WRITERS)
def test_only_files_are_replaced(write, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", f"{tmp_path}/name/", ""):
        with pytest.raises(IsADirectoryError, match="name a file in it"):
            write(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"only replace a file.*pipe"):
        write(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_errors_name_the_file_and_leave_it(
    write, failing, tmp_path, monkeypatch
):
    path = tmp_path / "name"
    path.write_bytes(b"old")

    def fail(source, *_):
        raise OSError(28, "No space left on device", source)

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left") as error:
        write(path)
    assert ".tmp" not in str(error.value) and error.value.errno == 28
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["name"]


def test_paths_may_be_relative_or_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("name", b"1")
    assert (tmp_path / "name").read_bytes() == b"1"
    write(os.fsencode(tmp_path / "name"), b"2")
    assert (tmp_path / "name").read_bytes() == b"2"


def test_a_name_that_is_too_long_is_named_as_it_is(tmp_path):
    path = tmp_path / ("n" * 250)
    with pytest.raises(OSError, match="too long") as error:
        write(path)
    assert ".tmp" not in str(error.value)
    assert os.listdir(tmp_path) == []
