"""Token shards: a tokenized corpus on disk, read by memory mapping.

A folder holds three files per shard. `tokens-00000.npy` has the tokens of its
documents, with the end id after each document. `offsets-00000.npy` (int64, one
more than documents) says where each document begins. `bytes-00000.npy` (int64)
says how many bytes of text each document has. `manifest.json` names the
tokenizer, and has all counts and the SHA-256 of each file.
"""

import operator
import pathlib

import numpy as np

from keras_nc.coding.origin import TokenOrigin
from keras_nc.data import shard_format


class TokenShards:
    r"""A tokenized corpus, memory-mapped.

    Opening checks the manifest, and that each file is there with the right
    size, type and shape. `verify` reads and checks all of them, and
    `verify_shards` also the text.

    Args:
        directory: folder that `write_shards` wrote.

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
        shards = self.manifest["shards"]
        arrays = [self._open(number) for number in range(len(shards))]
        self._tokens, self._offsets, self._bytes = zip(*arrays, strict=True)
        # Where each shard begins, in tokens and in documents.
        self._token_starts = np.cumsum([0, *(s["tokens"] for s in shards)])
        self._document_starts = np.cumsum(
            [0, *(s["documents"] for s in shards)]
        )

    def _open(self, number):
        """Map the three arrays of a shard, and make cheap checks."""
        entry = self.manifest["shards"][number]
        expected = {
            "tokens": (self.manifest["dtype"], entry["tokens"]),
            "offsets": ("int64", entry["documents"] + 1),
            "bytes": ("int64", entry["documents"]),
        }
        arrays = []
        for array, (dtype, size) in expected.items():
            path = self.directory / shard_format.file_name(array, number)
            try:
                if path.stat().st_size != entry["files"][array]["size"]:
                    raise ValueError("its size is not the manifest's")
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
                if mapped.dtype != dtype or mapped.shape != (size,):
                    raise ValueError("its dtype or shape is not the manifest's")
            except (OSError, ValueError, EOFError) as error:
                raise self._damaged([path], error) from error
            arrays.append(mapped)
        _, offsets, _ = arrays
        spanning = offsets[0] == 0 and offsets[-1] == entry["tokens"]
        if not spanning or (offsets[1:] <= offsets[:-1]).any():
            path = self.directory / shard_format.file_name("offsets", number)
            raise self._damaged([path], "they are not ascending offsets")
        return arrays

    def _damaged(self, paths, reason):
        return ValueError(
            "Token shards must be as they were written. Received: "
            f"{', '.join(map(str, paths))}, damaged or missing: {reason}. "
            "Fetch these files again if you have a copy; else run the same "
            "`write_shards` again: it writes only the damaged shards again."
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
            miscounted += self._find_miscounts(number, entry)
            if progress is not None:
                files = entry["files"].values()
                progress(sum(f["size"] for f in files), f"shard {number}")
        if damaged:
            raise self._damaged(damaged, "hashes are not the manifest's")
        if miscounted:
            raise self._damaged(miscounted, "counts are not the manifest's")

    def _find_miscounts(self, number, entry):
        """List files whose content is not what the manifest says of it."""
        end = self.manifest["end_token_id"]
        tokens, ends = self._tokens[number], self._offsets[number][1:] - 1
        sizes = self._bytes[number]
        is_sound = {
            "tokens": (tokens[ends] == end).all()
            and np.count_nonzero(tokens == end) == entry["documents"]
            and tokens.max() < self.vocabulary_size,
            "bytes": sizes.min() >= 0 and sizes.sum() == entry["bytes"],
        }
        return [
            self.directory / shard_format.file_name(array, number)
            for array, sound in is_sound.items()
            if not sound
        ]

    def check_tokenizer(self, tokenizer):
        """Check that a tokenizer is the one that made the tokens.

        Args:
            tokenizer: anything with a `fingerprint`.

        Raises:
            ValueError: if the fingerprints differ.
        """
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
    def num_tokens(self):
        """Number of tokens, end ids included."""
        return self.manifest["num_tokens"]

    @property
    def num_documents(self):
        """Number of documents."""
        return self.manifest["num_documents"]

    @property
    def num_bytes(self):
        """Size of the text that the tokens stand for, in bytes."""
        return self.manifest["num_bytes"]

    @property
    def bytes_per_token(self):
        """Bytes of text per token, end ids counted as tokens."""
        return self.num_bytes / self.num_tokens

    @property
    def fingerprint(self):
        """Fingerprint of the tokenizer that made the tokens, hex digits."""
        return self.manifest["fingerprint"]

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
    def scheme_name(self):
        """Name of the tokenizer's scheme."""
        return self.manifest["scheme_name"]

    @property
    def vocabulary_size(self):
        """Number of ids of the tokenizer, special ids included."""
        return self.manifest["vocabulary_size"]

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
