"""Prove that token shards hold the text that was tokenized."""

import itertools

from keras_nc.coding.inputs import iterate_documents
from keras_nc.data.shard_format import ARRAYS
from keras_nc.data.shard_format import DocumentsHash
from keras_nc.data.shard_format import file_name
from keras_nc.data.shard_writer import SHARD_FILE
from keras_nc.data.token_shards import TokenShards
from keras_nc.progress import ProgressLine

#: Tokens and documents to decode at a time.
_BATCH_TOKENS = 1 << 20
_BATCH_DOCUMENTS = 1 << 14


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
    known = {file_name(array, n) for array in ARRAYS for n in numbers}
    others = sorted(
        path.name
        for path in shards.directory.iterdir()
        if SHARD_FILE.fullmatch(path.name) and path.name not in known
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
