"""Token shards: a tokenized corpus on disk, read by memory mapping.

`verify_shards` proves that they hold the text that was tokenized.

A folder holds three files per shard. `tokens-00000.npy` has the tokens of its
documents, with the end id after each document. `offsets-00000.npy` (int64, one
more than documents) says where each document begins. `bytes-00000.npy` (int64)
says how many bytes of text each document has. `manifest.json` names the
tokenizer, and has all counts and the SHA-256 of each file.
"""

import itertools
import operator
import pathlib

import numpy as np

from keras_nc.coding.inputs import iterate_documents
from keras_nc.coding.origin import TokenOrigin
from keras_nc.data import shard_format
from keras_nc.data.shard_format import DocumentsHash
from keras_nc.data.shard_format import damage_error
from keras_nc.data.shard_format import file_name
from keras_nc.progress import ProgressLine

#: Tokens and documents to decode at a time.
_BATCH_TOKENS = 1 << 20
_BATCH_DOCUMENTS = 1 << 14


class TokenShards:
    r"""A tokenized corpus, memory-mapped.

    Opening checks the manifest, and that each file is there with the right
    size, type and shape. `verify` reads and checks all of them, and
    `verify_shards` also the text.

    Args:
        directory: folder that `write_shards` wrote.

    Attributes:
        num_documents: int.
        num_tokens: int, end ids included.
        num_bytes: int, size of the text that the tokens stand for.
        fingerprint: str, that of the tokenizer that made the tokens.
        scheme_name: str, the name of its scheme.
        vocabulary_size: int, its ids, special ids included.
        manifest: dict, the content of `manifest.json`.
        directory: `pathlib.Path`.

    Raises:
        ValueError: if the folder does not hold complete shards of this version,
            or they are damaged.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     documents = [b"\x00\x01", b"\x02"]
    ...     shards = write_shards(documents, ByteTokenizer(), folder)
    ...     print(shards.tokens(0, 5), shards.document(1))
    ...     print(shards.num_bytes, shards.bytes_per_token)
    [3 4 2 5 2] [5 2]
    3 0.6
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        if not (self.directory / shard_format.MANIFEST).is_file():
            unfinished = (self.directory / shard_format.PROGRESS).is_file()
            raise ValueError(
                "A folder of token shards must have a manifest. Received: "
                f"{self.directory}, "
                + (
                    "where writing was interrupted. Run the same "
                    "`write_shards` again: it continues where it stopped."
                    if unfinished
                    else "which has none. Write shards with `write_shards`."
                )
            )
        path = self.directory / shard_format.MANIFEST
        self.manifest = shard_format.read_manifest(path)
        self.num_documents = self.manifest["num_documents"]
        self.num_tokens = self.manifest["num_tokens"]
        self.num_bytes = self.manifest["num_bytes"]
        self.fingerprint = self.manifest["fingerprint"]
        self.scheme_name = self.manifest["scheme_name"]
        self.vocabulary_size = self.manifest["vocabulary_size"]
        shards = self.manifest["shards"]
        self._arrays = [
            shard_format.map_arrays(self.directory, number, self.manifest)
            for number in range(len(shards))
        ]
        self._tokens, self._offsets, self._bytes = zip(
            *self._arrays, strict=True
        )
        # Where each shard begins, in tokens and in documents.
        self._token_starts = np.cumsum([0, *(s["tokens"] for s in shards)])
        self._document_starts = np.cumsum(
            [0, *(s["documents"] for s in shards)]
        )

    def verify(self, progress=None):
        """Read all files, and compare their content with the manifest.

        Args:
            progress: function to call with the number of bytes read and with
                what was read, or `None`.

        Raises:
            ValueError: if files differ. It names them all.
        """
        damaged, miscounted = [], []
        for number, entry in enumerate(self.manifest["shards"]):
            damaged += shard_format.find_damage(self.directory, number, entry)
            miscounted += shard_format.find_miscounts(
                self.directory, number, self.manifest, self._arrays[number]
            )
            if progress is not None:
                files = entry["files"].values()
                progress(sum(f["size"] for f in files), f"shard {number}")
        if damaged:
            raise damage_error(damaged, "hashes are not the manifest's")
        if miscounted:
            raise damage_error(miscounted, "counts are not the manifest's")

    def check_tokenizer(self, tokenizer):
        """Raise a ValueError unless a tokenizer, by fingerprint, made them."""
        self.origin.check_tokenizer(tokenizer)

    def check_text(self):
        """Check that the shards hold text, which bits per byte need.

        Raises:
            ValueError: if all documents are empty.
        """
        if not self.num_bytes:
            raise ValueError(
                "Bits per byte need at least one byte of text. Received: the "
                f"shards in {self.directory}, {self.num_documents:,} documents "
                "of 0 bytes. Write shards of documents that hold text."
            )

    def document(self, index):
        """Return the ids of one document, its end id included.

        Args:
            index: int in `[0, num_documents)`.

        Returns:
            An array of shape `(T,)` and dtype `dtype`, mapped read-only.

        Raises:
            IndexError: if there is no such document.
        """
        shard, row = self._locate_document(index)
        start, stop = self._offsets[shard][row : row + 2]
        return self._tokens[shard][start:stop]

    def document_offsets(self):
        """Yield for each shard where its documents begin, and its end.

        Yields:
            int64 of shape (documents + 1,), tokens of the corpus.
        """
        for start, offsets in zip(
            self._token_starts, self._offsets, strict=False
        ):
            yield start + offsets

    def document_bytes(self, index):
        """Return the size of one document's text, an int, in bytes."""
        shard, row = self._locate_document(index)
        return int(self._bytes[shard][row])

    def tokens(self, start, stop):
        """Return tokens of the corpus, all documents joined.

        Args:
            start: int, the first token.
            stop: int, one past the last token.

        Returns:
            A new array of shape `(stop - start,)` and dtype `dtype`.

        Raises:
            IndexError: unless `0 <= start <= stop <= num_tokens`.
        """
        start, stop = operator.index(start), operator.index(stop)
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(
                f"Tokens are numbered from 0 to {self.num_tokens}. Received: "
                f"start={start}, stop={stop}"
            )
        out = np.empty(stop - start, self.dtype)
        shard = np.searchsorted(self._token_starts, start, side="right") - 1
        filled = 0
        while filled < len(out):
            first = start + filled - self._token_starts[shard]
            piece = self._tokens[shard][first : first + len(out) - filled]
            out[filled : filled + len(piece)] = piece
            filled += len(piece)
            shard += 1
        return out

    def _locate_document(self, index):
        # Convert first: differences of NumPy's unsigned integers could be
        # floats.
        index = operator.index(index)
        if not 0 <= index < self.num_documents:
            raise IndexError(
                f"Documents are numbered from 0 to {self.num_documents - 1}. "
                f"Received: index={index}"
            )
        starts = self._document_starts
        shard = np.searchsorted(starts, index, side="right") - 1
        return shard, index - starts[shard]

    @property
    def bytes_per_token(self):
        """Bytes of text per token, end ids counted as tokens."""
        return self.num_bytes / self.num_tokens

    @property
    def origin(self):
        """The tokenizer that made the tokens, as a `TokenOrigin`."""
        return TokenOrigin(
            self.fingerprint,
            self.scheme_name,
            self.vocabulary_size,
            f"the shards in {self.directory}",
        )

    @property
    def dtype(self):
        """The `np.dtype` of the tokens on disk."""
        return np.dtype(self.manifest["dtype"])

    def __repr__(self):
        return (
            f"<TokenShards: {self.num_documents:,} documents, "
            f"{self.num_tokens:,} tokens, {self.num_bytes:,} bytes, "
            f"{self.scheme_name!r} in {self.directory}>"
        )

    def __reduce__(self):
        # Worker processes map the files themselves, because a copy would be
        # large.
        return TokenShards, (self.directory,)


def verify_shards(directory, tokenizer=None, documents=None, *, progress=True):
    """Check token shards against their manifest, tokenizer and input.

    The files are compared with the manifest: names, hashes, counts, and where
    documents end. With a tokenizer, its fingerprint is compared, and all
    documents are decoded and compared with the hash of the text that was
    tokenized. With documents, the hash of these is compared, too. Then the
    shards hold exactly these documents, in this order.

    Args:
        directory: folder that `write_shards` wrote.
        tokenizer: what wrote the shards: a tokenizer of `keras_nc.tokenizers`,
            or another with `fingerprint` and `decode_bytes(ids)`. `None` to
            decode nothing.
        documents: the input of `write_shards`: `str` or bytes, or an iterable
            of them; `None` to compare with no input.
        progress: if True, shows megabytes and speed on a terminal.

    Returns:
        The `TokenShards`.

    Raises:
        ValueError: if anything differs.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import verify_shards, write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_shards([b"one", b"two"], ByteTokenizer(), folder)
    ...     verify_shards(folder, ByteTokenizer(), [b"one", b"two"]).num_tokens
    8
    """
    shards = TokenShards(directory)
    if tokenizer is not None:
        shards.check_tokenizer(tokenizer)
    _check_names(shards)
    with ProgressLine("Checking files", enabled=progress) as line:
        shards.verify(line.update)
    if tokenizer is not None:
        total = shards.num_bytes
        with ProgressLine("Decoding", enabled=progress, total=total) as line:
            _compare_decoded(shards, tokenizer, line)
    if documents is not None:
        total = shards.num_bytes
        with ProgressLine("Comparing", enabled=progress, total=total) as line:
            _compare_input(shards, iterate_documents(documents), line)
    return shards


def _check_names(shards):
    """Refuse files of shards that the manifest does not have."""
    numbers = range(len(shards.manifest["shards"]))
    arrays = shard_format.ARRAYS
    known = {file_name(array, n) for array in arrays for n in numbers}
    others = sorted(
        path.name
        for path in shards.directory.iterdir()
        if shard_format.is_of_shard(path) and path.name not in known
    )
    if others:
        raise ValueError(
            "A folder of token shards must hold those of its manifest and no "
            f"others. Received: {shards.directory} with {', '.join(others[:9])}"
            f"{' and more' if others[9:] else ''}. If the manifest is that of "
            "other shards, fetch the right one; else delete these files."
        )


def _compare_decoded(shards, tokenizer, line):
    first = 0
    for number, entry in enumerate(shards.manifest["shards"]):
        digest = DocumentsHash()
        last = first + entry["documents"]
        for indices in _batches(shards, first, last):
            rows = [shards.document(i)[:-1] for i in indices]
            try:
                texts = _decode(tokenizer, rows)
            except ValueError as error:
                raise _other_text(shards, number, str(error)) from error
            for index, text in zip(indices, texts, strict=True):
                if len(text) != shards.document_bytes(index):
                    raise _other_text(
                        shards,
                        number,
                        f"document {index:,} decodes to {len(text):,} bytes "
                        f"instead of {shards.document_bytes(index):,}.",
                    )
                digest.add(text)
            line.update(sum(map(len, texts)), f"shard {number}")
        if digest.hexdigest() != entry["documents_sha256"]:
            raise _other_text(shards, number, "it decodes to other text.")
        first = last


def _decode(tokenizer, rows):
    if hasattr(tokenizer, "detokenize"):  # some decode rows side by side
        return tokenizer.detokenize(rows)
    return [tokenizer.decode_bytes(row) for row in rows]


def _batches(shards, first, last):
    """Yield lists of indices of documents that are decoded together."""
    batch, size = [], 0
    for index in range(first, last):
        batch.append(index)
        size += len(shards.document(index))
        if size >= _BATCH_TOKENS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _other_text(shards, number, how):
    return ValueError(
        "Token shards must decode to the text that was tokenized. Received: "
        f"{shards.directory}, shard {number}: {how} Delete the shards, and "
        "run the same `write_shards` again."
    )


def _compare_input(shards, documents, line):
    for number, entry in enumerate(shards.manifest["shards"]):
        digest = DocumentsHash()
        count = 0
        for document in itertools.islice(documents, entry["documents"]):
            digest.add(document)
            count += 1
            line.update(len(document), f"shard {number}")
        if count < entry["documents"]:
            raise _other_input(shards, "has fewer documents")
        if digest.hexdigest() != entry["documents_sha256"]:
            raise _other_input(shards, f"differs from shard {number}")
    if next(documents, None) is not None:
        raise _other_input(shards, "has more documents")


def _other_input(shards, how):
    return ValueError(
        "The input must be the text that the shards were made from, in the "
        f"same order. Received: {shards.directory}, and input that {how}. "
        "Name that input, or write shards of this one to another folder."
    )
