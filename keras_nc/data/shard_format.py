"""The files of token shards: arrays, and a manifest with their hashes."""

import contextlib
import hashlib
import json
import os

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
