"""Archives: any fault in a file gives the same error."""

import io
import zipfile

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding.archive import FaultError
from keras_nc.coding.archive import one_error
from keras_nc.coding.archive import read_arrays
from keras_nc.coding.archive import write_arrays


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
