"""Write token shards: one pass over a corpus, safe to interrupt."""

import collections
import concurrent.futures
import contextlib
import itertools
import pathlib
import shutil

import numpy as np

from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import group_documents
from keras_nc.coding.inputs import iterate_documents
from keras_nc.coding.inputs import make_folder
from keras_nc.data import shard_format
from keras_nc.data.token_shards import TokenShards
from keras_nc.progress import ProgressLine

_BATCH_BYTES = 4 * 2**20
#: Smaller batches keep several threads busy from the beginning to the end.
_THREAD_BATCH_BYTES = 2**20

_REMEDY = (
    "Use another folder, delete the shards in this one, or pass "
    "`overwrite=True`."
)


def write_shards(
    documents,
    tokenizer,
    directory,
    *,
    shard_tokens=2**26,
    overwrite=False,
    progress=True,
    threads=1,
    batch_bytes=None,
):
    """Tokenize documents one by one and write them as token shards.

    If the run is interrupted or killed, the same call continues after the last
    complete shard. It compares the documents of complete shards by their hash,
    and does not tokenize them again. If all shards are complete, it compares
    all documents and returns the shards. Shards whose files are damaged or
    missing are written again. Which documents a shard holds depends only on the
    documents and on `shard_tokens`. Only one process can write to a folder at a
    time.

    Args:
        documents: `str` or bytes, or an iterable of them; read once, never
            held as a whole.
        tokenizer: has `encode_batch(documents)`, which returns all ids as one
            integer array without end ids, and the int64 offsets of documents
            in it, one more than documents; `vocabulary_size()`,
            `end_token_id`, `fingerprint` and `scheme_name`.
        directory: folder for the shards, created if missing. Other files in it
            are not touched.
        shard_tokens: int, most tokens in a shard, which is held in memory. A
            document with more tokens is a shard by itself.
        overwrite: if True, existing shards are deleted first.
        progress: if True, shows megabytes and speed on a terminal.
        threads: int, how many threads tokenize while documents are read. They
            help tokenizers that work outside of Python, as those of codebooks
            do. The shards are the same.
        batch_bytes: int, about how many bytes of documents the tokenizer gets
            at a time. By default 4 MiB, or 1 MiB if there are several threads.
            The shards are the same.

    Returns:
        The `TokenShards`.

    Raises:
        ValueError: if there are no documents, if the tokenizer returns invalid
            ids or offsets, or if the folder holds shards of another tokenizer,
            of other settings or of other documents; or if another process is
            writing to the folder.
        TypeError: if a document is not text.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = write_shards([b"one", b"three"], ByteTokenizer(), folder)
    ...     shards.num_documents, shards.num_tokens, shards.num_bytes
    (2, 10, 8)
    """
    return write_documents(
        documents,
        tokenizer,
        directory,
        shard_tokens=shard_tokens,
        overwrite=overwrite,
        progress=progress,
        threads=threads,
        batch_bytes=batch_bytes,
        lock=shard_format.locked,
    )


def write_documents(
    documents,
    tokenizer,
    directory,
    *,
    shard_tokens,
    overwrite=False,
    progress,
    threads,
    batch_bytes=None,
    sync=True,
    lock=contextlib.nullcontext,
):
    """Write token shards; see `write_shards`.

    `lock` is a function that takes the folder and returns a context manager.
    With `sync`, wait for the disk, as long as tokenizing 100,000 bytes takes.
    Without it, a power failure may damage the manifest.
    """
    documents = iterate_documents(documents)
    first = next(documents, None)
    if first is None:
        raise ValueError(
            "Token shards need at least one document. Received: an empty "
            "corpus. Check where `documents` comes from, and that an iterator "
            "has not been used up."
        )
    shard_tokens = as_integer("shard_tokens", shard_tokens)
    threads = as_integer("threads", threads)
    if batch_bytes is None:
        batch_bytes = _BATCH_BYTES if threads == 1 else _THREAD_BATCH_BYTES
    batch_bytes = as_integer("batch_bytes", batch_bytes)
    documents = itertools.chain([first], documents)
    directory = pathlib.Path(directory)
    fields = shard_format.describe_tokenizer(tokenizer)
    fields["shard_tokens"] = shard_tokens
    with (
        lock(directory),
        ProgressLine("Writing shards", enabled=progress) as line,
    ):
        complete, fields["shards"] = _prepare(directory, fields, overwrite)
        repair_shards(documents, tokenizer, fields, directory, line)
        if complete:
            if next(documents, None) is not None:
                raise other_input(directory, "has more documents")
            (directory / shard_format.PROGRESS).unlink(missing_ok=True)
            delete_half_written(directory)
            return TokenShards(directory)
        writer = _ShardWriter(directory, fields, sync)
        for batch, ids, offsets in _encoded(
            documents, tokenizer, fields, threads, batch_bytes
        ):
            writer.add(batch, ids, offsets)
            line.update(sum(map(len, batch)), f"shard {len(fields['shards'])}")
        writer.finish()
    delete_half_written(directory)
    return TokenShards(directory)


def _prepare(directory, fields, overwrite):
    """Return whether the shards are complete, and the existing shards."""
    make_folder(directory)
    manifest = directory / shard_format.MANIFEST
    partial = directory / shard_format.PROGRESS
    files = sorted(directory.iterdir())
    ours = [path for path in files if shard_format.is_of_shard(path)]
    if overwrite:
        # The manifests first: without them, the other files are not used.
        for file in (manifest, partial, *ours):
            file.unlink(missing_ok=True)
        ours = []
    for file in (manifest, partial):
        if not file.is_file():
            continue
        # A power failure may leave the first record of progress empty.
        if file is partial and not file.stat().st_size:
            continue
        found = shard_format.read_manifest(file)
        shard_format.check_fields(directory, found, fields, _REMEDY)
        return file is manifest, found["shards"]
    if ours:
        raise ValueError(
            "A folder with files of token shards must have their manifest. "
            f"Received: {directory}, which holds {ours[0].name} and no "
            f"manifest. {_REMEDY}"
        )
    shard_format.write_manifest(partial, {**fields, "shards": []}, sync=False)
    return False, []


def repair_shards(documents, tokenizer, fields, directory, line, first=0):
    """Compare documents with complete shards, and rewrite damaged shards.

    Args:
        documents: iterator of bytes, which is read up to the last shard.
        tokenizer: see `write_shards`.
        fields: dict, the manifest's, with the `shards` to compare.
        directory: `pathlib.Path` of the shards.
        line: a `ProgressLine`.
        first: int, the number of the first of these shards.

    Raises:
        ValueError: if the documents are others, or the ids.
    """
    for number, shard in enumerate(fields["shards"], first):
        is_damaged = shard_format.find_damage(directory, number, shard)
        digest = shard_format.DocumentsHash()
        count, kept = 0, []
        for document in itertools.islice(documents, shard["documents"]):
            digest.add(document)
            count += 1
            if is_damaged:
                kept.append(document)
            line.update(len(document), f"comparing shard {number}")
        if count < shard["documents"]:
            raise other_input(directory, "has fewer documents")
        if digest.hexdigest() != shard["documents_sha256"]:
            raise other_input(directory, f"differs in shard {number}")
        if is_damaged:
            writer = _ShardWriter(directory, {**fields, "shards": []})
            for batch in group_documents(kept, _BATCH_BYTES):
                writer.collect(batch, *_encode(tokenizer, batch, fields))
            if writer.write_files(number) != shard["files"]:
                raise ValueError(
                    "A damaged shard can be written again only by the same "
                    f"tokenizer. Received: shard {number} of {directory}, for "
                    "which the tokenizer gives other ids now. Delete the "
                    "shards, or pass `overwrite=True`, to write all shards "
                    "again."
                )


def other_input(directory, how):
    """Make the ValueError for shards of other documents."""
    return ValueError(
        f"{directory} holds shards of other documents. Received: input that "
        f"{how}. Pass the same documents in the same order. Or: {_REMEDY}"
    )


def delete_half_written(directory):
    """Delete the temporary files that killed processes left in a folder."""
    for path in directory.iterdir():
        if not shard_format.HALF_WRITTEN.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _encoded(documents, tokenizer, fields, threads, batch_bytes):
    """Yield batches with their ids and offsets, in the order of documents."""
    if threads == 1:
        for batch in group_documents(documents, batch_bytes):
            yield batch, *_encode(tokenizer, batch, fields)
        return
    pending = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for batch in group_documents(documents, batch_bytes):
            encoding = pool.submit(_encode, tokenizer, batch, fields)
            pending.append((batch, encoding))
            if len(pending) > threads:  # one is ready while it is written
                batch, encoding = pending.popleft()
                yield batch, *encoding.result()
        for batch, encoding in pending:
            yield batch, *encoding.result()


def _encode(tokenizer, batch, fields):
    """Return all ids, end ids included, and the documents' offsets."""
    ids, offsets = tokenizer.encode_batch(batch)
    ids, offsets = np.asarray(ids), np.asarray(offsets)
    count = len(batch)
    if (
        offsets.shape != (count + 1,)
        or offsets[0] != 0
        or offsets[-1] != len(ids)
        or np.any(np.diff(offsets) < 0)
    ):
        raise ValueError(
            "`encode_batch` must return ids and one offset more than "
            f"documents, from 0 to the number of ids. Received: {len(ids)} ids "
            f"and offsets of shape {offsets.shape} for {count} documents."
        )
    size = fields["vocabulary_size"]
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise ValueError(
            f"`encode_batch` must return ids in [0, {size}). Received: ids "
            f"from {ids.min()} to {ids.max()}."
        )
    # Each document moves up by the end ids of those before it.
    offsets = offsets + np.arange(count + 1)
    is_end = np.zeros(len(ids) + count, bool)
    is_end[offsets[1:] - 1] = True
    out = np.full(len(is_end), fields["end_token_id"], fields["dtype"])
    out[~is_end] = ids
    return out, offsets


class _ShardWriter:
    """Collect documents, and write a shard whenever one is full."""

    def __init__(self, directory, fields, sync=True):
        self._directory = directory
        self._fields = fields
        self._sync = sync
        self._begin()

    def _begin(self):
        self._ids = []  # arrays, each the ids of some documents
        self._lengths = []  # tokens, one per document
        self._sizes = []  # bytes, one per document
        self._num_tokens = 0
        self._digest = shard_format.DocumentsHash()

    def add(self, documents, ids, offsets):
        """Add documents (bytes) with their ids and the offsets of each."""
        first = 0
        while first < len(documents):
            room = self._fields["shard_tokens"] - self._num_tokens
            stop = offsets[first] + room
            last = int(np.searchsorted(offsets, stop, side="right")) - 1
            if last <= first and self._sizes:
                self._write()
                path = self._directory / shard_format.PROGRESS
                shard_format.write_manifest(path, self._fields, self._sync)
                continue
            # A document with too many tokens is a shard by itself.
            last = max(last, first + 1)
            self.collect(documents[first:last], ids, offsets[first : last + 1])
            first = last

    def collect(self, documents, ids, offsets):
        """Add documents to this shard, full or not."""
        self._ids.append(ids[offsets[0] : offsets[-1]])
        self._lengths.extend(np.diff(offsets).tolist())
        self._num_tokens += len(self._ids[-1])
        for document in documents:
            self._sizes.append(len(document))
            self._digest.add(document)

    def finish(self):
        """Write the last shard and the manifest."""
        if self._sizes:
            self._write()
        path = self._directory / shard_format.MANIFEST
        shard_format.write_manifest(path, self._fields, self._sync)
        (self._directory / shard_format.PROGRESS).unlink(missing_ok=True)

    def _write(self):
        self._fields["shards"].append(
            {
                "files": self.write_files(len(self._fields["shards"])),
                "documents": len(self._sizes),
                "tokens": self._num_tokens,
                "bytes": sum(self._sizes),
                "documents_sha256": self._digest.hexdigest(),
            }
        )
        self._begin()

    def write_files(self, number):
        """Write the arrays of one shard; return size and hash of each file."""
        pieces = {
            "tokens": self._ids,
            "offsets": [np.cumsum([0, *self._lengths], dtype="int64")],
            "bytes": [np.array(self._sizes, dtype="int64")],
        }
        paths = [
            self._directory / shard_format.file_name(array, number)
            for array in pieces
        ]
        # Most of the time of small files is spent waiting for the disk.
        with concurrent.futures.ThreadPoolExecutor(len(pieces)) as pool:
            written = pool.map(shard_format.write_array, paths, pieces.values())
            return dict(zip(pieces, written, strict=True))
