"""The files of token shards: arrays, and a manifest with their hashes."""

import contextlib
import hashlib
import json
import os
import re

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.archive import one_error
from keras_nc.coding.inputs import make_folder

FORMAT = "keras_nc token shards"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
#: The incomplete manifest while shards are being written.
PROGRESS = "progress.json"
#: The arrays of a shard. Each has its own file.
ARRAYS = ("tokens", "offsets", "bytes")
_NAMES = "|".join(ARRAYS)
#: The files of shards, and what a process that was killed leaves of them.
_SHARD_FILE = re.compile(rf"({_NAMES})-\d{{5,}}\.npy(\.[0-9a-f]+\.tmp)?")
HALF_WRITTEN = re.compile(
    rf"(({_NAMES})-\d{{5,}}\.npy|\w+\.json|group-\d{{5,}})\.[0-9a-f]{{16}}\.tmp"
)
#: The fields of a manifest besides its checksum, and their types.
_FIELDS = {
    "format": str,
    "format_version": int,
    "fingerprint": str,
    "scheme_name": str,
    "vocabulary_size": int,
    "end_token_id": int,
    "dtype": str,
    "shard_tokens": int,
    "complete": bool,
    "num_documents": int,
    "num_tokens": int,
    "num_bytes": int,
    "shards": list,
}
#: The fields of each shard.
_SHARD_FIELDS = {
    "files": dict,
    "documents": int,
    "tokens": int,
    "bytes": int,
    "documents_sha256": str,
}
_FILE_FIELDS = {"size": int, "sha256": str}


@contextlib.contextmanager
def locked(directory):
    """Keep other processes from writing to a folder of shards.

    The lock ends with the process. Some systems and disks cannot lock folders.
    There, nothing keeps other processes away.

    Args:
        directory: path, created if missing.

    Raises:
        ValueError: if another process writes there, or a file is in the way.
    """
    make_folder(directory)
    handle = None
    try:
        import fcntl

        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(
            "Only one process may write to a folder of shards at a time. "
            f"Received: {os.fspath(directory)!r}, to which another one is "
            "writing. Wait for its end, or name another folder."
        ) from None
    except (ImportError, OSError):  # no such locks here
        pass
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def file_name(array, shard):
    """Return the file name of one array of one shard."""
    return f"{array}-{shard:05d}.npy"


def is_of_shard(path):
    """Return whether a file is one of a shard, or what is left of one."""
    return _SHARD_FILE.fullmatch(path.name) is not None


def describe_tokenizer(tokenizer):
    """Return the fields of a manifest that the tokenizer decides, a dict."""
    vocabulary_size = int(tokenizer.vocabulary_size())
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fingerprint": str(tokenizer.fingerprint),
        "scheme_name": str(tokenizer.scheme_name),
        "vocabulary_size": vocabulary_size,
        "end_token_id": int(tokenizer.end_token_id),
        # The smallest unsigned type: 65,536 ids fit in two bytes.
        "dtype": np.min_scalar_type(vocabulary_size - 1).name,
    }


def write_manifest(path, fields, sync=True):
    """Write a manifest, all or nothing, with totals and a checksum.

    Args:
        path: `pathlib.Path`.
        fields: dict, the manifest without its totals and its checksum.
        sync: bool; see `atomic_file`.
    """
    fields = {**fields, "complete": path.name == MANIFEST}
    for total in ("documents", "tokens", "bytes"):
        fields[f"num_{total}"] = sum(s[total] for s in fields["shards"])
    content = {"checksum": _checksum(fields), **fields}
    with atomic_file(path, sync) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def read_manifest(path):
    """Read a manifest, and check it without other files.

    Args:
        path: `pathlib.Path`.

    Returns:
        A dict.

    Raises:
        ValueError: if it is not a manifest of this version, or damaged.
    """
    with one_error(
        path,
        f"A manifest of {FORMAT}, version {FORMAT_VERSION}, must be as it was "
        "written",
        "Fetch this file again if you have a copy; else delete the folder, or "
        "use `overwrite=True`, and write the shards again.",
    ):
        content = json.loads(path.read_bytes())
        found = content["format"], content["format_version"]
        if found != (FORMAT, FORMAT_VERSION):
            raise FaultError(f"the format {found[0]!r}, version {found[1]}")
        # The checksum protects the values. The types prove that we wrote them.
        is_sound = content.pop("checksum") == _checksum(content)
        is_complete = path.name == MANIFEST
        if not is_sound or not _well_formed(content, is_complete):
            raise FaultError("content whose checksum or fields are wrong")
    return content


def _well_formed(content, is_complete):
    """Return whether a manifest has the right fields and totals."""
    return (
        _has_fields(content, _FIELDS)
        and content["complete"] == is_complete
        and (bool(content["shards"]) or not is_complete)
        and all(
            _has_fields(shard, _SHARD_FIELDS)
            and shard["files"].keys() == set(ARRAYS)
            and all(
                _has_fields(file, _FILE_FIELDS)
                for file in shard["files"].values()
            )
            for shard in content["shards"]
        )
        and all(
            content[f"num_{total}"]
            == sum(shard[total] for shard in content["shards"])
            for total in ("documents", "tokens", "bytes")
        )
    )


class DocumentsHash:
    """The hash of documents that manifests store; add them one by one."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def add(self, document):
        """Add a document, bytes."""
        # The length separates documents.
        self._digest.update(len(document).to_bytes(8, "little"))
        self._digest.update(document)

    def hexdigest(self):
        """Return the SHA-256 so far, 64 hexadecimal digits."""
        return self._digest.hexdigest()


def map_arrays(directory, number, manifest):
    """Map the arrays of one shard, and make cheap checks.

    Args:
        directory: `pathlib.Path`, the folder of the shards.
        number: int, the shard.
        manifest: dict.

    Returns:
        A list of arrays, mapped read-only, in the order of `ARRAYS`.

    Raises:
        ValueError: if a file is missing, or is not what the manifest says.
    """
    entry = manifest["shards"][number]
    expected = {
        "tokens": (manifest["dtype"], entry["tokens"]),
        "offsets": ("int64", entry["documents"] + 1),
        "bytes": ("int64", entry["documents"]),
    }
    arrays = []
    for array, (dtype, size) in expected.items():
        path = directory / file_name(array, number)
        try:
            if path.stat().st_size != entry["files"][array]["size"]:
                raise ValueError("its size is not the manifest's")
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            if mapped.dtype != dtype or mapped.shape != (size,):
                raise ValueError("its dtype or shape is not the manifest's")
        except (OSError, ValueError, EOFError) as error:
            raise damage_error([path], error) from error
        arrays.append(mapped)
    _, offsets, _ = arrays
    spanning = offsets[0] == 0 and offsets[-1] == entry["tokens"]
    if not spanning or (offsets[1:] <= offsets[:-1]).any():
        path = directory / file_name("offsets", number)
        raise damage_error([path], "they are not ascending offsets")
    return arrays


def damage_error(paths, reason):
    """Return the ValueError for damaged files."""
    return ValueError(
        "Token shards must be as they were written. Received: "
        f"{', '.join(map(str, paths))}, damaged or missing: {reason}. "
        "Fetch these files again if you have a copy; else run the same "
        "`write_shards` again: it writes only the damaged shards again."
    )


def find_damage(directory, number, entry):
    """Compare the files of one shard with the manifest.

    Args:
        directory: `pathlib.Path`, the folder of the shards.
        number: int, the shard.
        entry: dict, the manifest's entry of the shard.

    Returns:
        A list of `pathlib.Path`, the files that differ or are missing.
    """
    damaged = []
    for array in ARRAYS:
        path = directory / file_name(array, number)
        expected = entry["files"][array]
        try:
            intact = path.stat().st_size == expected["size"]
            if intact:
                with open(path, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                intact = digest == expected["sha256"]
        except FileNotFoundError:
            intact = False
        if not intact:
            damaged.append(path)
    return damaged


def find_miscounts(directory, number, manifest, arrays):
    """List the files of one shard whose content has other counts.

    Args:
        directory: `pathlib.Path`, the folder of the shards.
        number: int, the shard.
        manifest: dict.
        arrays: those of the shard; see `map_arrays`.

    Returns:
        A list of `pathlib.Path`.
    """
    tokens, offsets, sizes = arrays
    entry, end = manifest["shards"][number], manifest["end_token_id"]
    is_sound = {
        "tokens": (tokens[offsets[1:] - 1] == end).all()
        and np.count_nonzero(tokens == end) == entry["documents"]
        and tokens.max() < manifest["vocabulary_size"],
        "bytes": sizes.min() >= 0 and sizes.sum() == entry["bytes"],
    }
    return [
        directory / file_name(array, number)
        for array, sound in is_sound.items()
        if not sound
    ]


def _has_fields(content, kinds):
    return (
        type(content) is dict
        and content.keys() == kinds.keys()
        and all(type(content[name]) is kind for name, kind in kinds.items())
    )


def _checksum(fields):
    text = json.dumps(fields, sort_keys=True)
    return fingerprint_of(text)


class HashedFile:
    """Count and hash the bytes written to a binary stream.

    Args:
        stream: the stream.
    """

    def __init__(self, stream):
        self.num_bytes = 0
        self._digest = hashlib.sha256()
        self._stream = stream

    @property
    def sha256(self):
        """Hash of the bytes written so far, 64 hex digits."""
        return self._digest.hexdigest()

    def write(self, data):
        """Write bytes or a contiguous array's buffer."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self.num_bytes += len(view)
        return self._stream.write(view)


def write_array(path, pieces):
    """Write arrays end to end as one `.npy` file, without joining them.

    Args:
        path: `pathlib.Path`.
        pieces: list of arrays with one axis and of the same dtype.

    Returns:
        A dict with the `size` of the file in bytes and its `sha256`.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(pieces[0].dtype),
        "fortran_order": False,
        "shape": (sum(map(len, pieces)),),
    }
    with atomic_file(path) as file:
        stream = HashedFile(file)
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(piece)
    return {"size": stream.num_bytes, "sha256": stream.sha256}


def check_fields(directory, found, fields, remedy):
    """Raise a ValueError if a directory has shards of other settings.

    Args:
        directory: where the shards are.
        found: dict, what their manifest says.
        fields: dict, what it must say.
        remedy: str, what to do.
    """
    for name, value in fields.items():
        if found[name] != value:
            raise ValueError(
                f"{directory} holds shards with {name}={found[name]!r}; the "
                f"others must be the same. Received: {name}={value!r}. {remedy}"
            )
