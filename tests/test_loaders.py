"""Whatever a file or a row of ids holds: a right result or one clear error.

Each test is a target of `tests.fuzz_loaders`, too, so none takes a fixture.
"""

import contextlib
import functools
import io
import json
import pathlib
import tempfile

import numpy as np
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding import _codebook_file
from keras_nc.coding import _prefix_cache_file
from keras_nc.data import TokenShards
from keras_nc.data import shard_format
from keras_nc.data import write_shards
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers.model_assets import ModelAsset

TEXT = b"A rose is a rose is a rose, is it not? It is: a rose's rose. " * 8
PARSES = ("greedy", "aligned", "flexible", "likely", "likely_aligned")


def array_of(dtype, shape, data):
    """An array that repeats a few bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = np.resize(np.frombuffer(data, np.uint8), size)
    return data.view(dtype).reshape(shape) if size else np.zeros(shape, dtype)


DTYPES = ("|u1", "<u2", ">u2", "<u4", "<i4", "<i8", "<f4", "|b1", "|S2", "<c8")
#: What stands in for a field: of another type, shape or value.
ARRAYS = st.builds(
    array_of,
    st.sampled_from(
        ["|u1", "<u2", ">u2", "<u4", "<i4", "<i8", "<f4", "|b1", "|S2", "<c8"]
    ),
    st.lists(st.sampled_from((0, 1, 2, 3, 256, 512)), max_size=2),
    st.binary(min_size=1, max_size=16),
)
VALUES = st.one_of(
    ARRAYS,
    st.integers(-3, 70_000).map(np.int64),
    st.text(max_size=9).map(np.str_),
    st.sampled_from((*PARSES, "arithmetic", "tunstall")).map(np.str_),
)
#: Numbers that are added at places of an array, modulo its type.
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**4), st.integers(1, 255)), max_size=4
)
#: Places of a file, and bytes to be there.
OVERWRITTEN = st.lists(
    st.tuples(st.integers(0, 10**5), st.binary(max_size=9)), max_size=3
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@functools.cache
def counts():
    return NGramModel.from_text(TEXT, order=3)


@functools.cache
def codebook(parse="greedy"):
    return Codebook.build(
        counts(), TEXT, window_bits=9, allocation="tunstall", parse=parse
    )


@functools.cache
def prefix_cache():
    return PrefixCache.build(
        stepper_for(counts(), 1, 64), TEXT, window_bits=24, max_prefixes=20
    )


@functools.cache
def folder():
    return pathlib.Path(tempfile.mkdtemp(prefix="keras_nc-"))


def archive(fields):
    data = io.BytesIO()
    np.savez(data, **fields)
    return data.getvalue()


def overwrite(data, pieces):
    data = bytearray(data)
    for at, piece in pieces:
        at %= len(data)
        data[at : at + len(piece)] = piece
    return bytes(data)


def change(fields, name, value, changes):
    """One field another, or with other numbers in it; `None`: none."""
    fields = dict(fields)
    if value is not None:
        fields[name] = value
    array = np.array(fields[name])
    if array.dtype.kind in "iu" and array.size:
        for at, by in changes:
            array.flat[at % array.size] += np.array(by).astype(array.dtype)
        fields[name] = array
    return fields


@contextlib.contextmanager
def refusal(*words):
    """A ValueError is right if it tells what was received and what to do."""
    try:
        yield
    except ValueError as error:
        assert "Received" in str(error), error
        assert all(word in str(error) for word in words), error


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.sampled_from(PARSES),
    st.sampled_from(("format_version", "window_bits", "max_window_bytes",
                     "allocation", "parse", "lengths", "bytes", "costs",
                     "new")),
    st.none() | VALUES,
    CHANGES,
    st.booleans(),
    OVERWRITTEN,
    st.binary(max_size=60),
)  # fmt: skip
def test_codebook_files(parse, name, value, changes, signed, pieces, text):
    fields = dict(codebook(parse)._fields, format_version=np.int64(2), new=0)
    fields = change(fields, name, value, changes)
    if name != "new":
        del fields["new"]
    fields["fingerprint"] = codebook(parse).fingerprint
    if signed:  # as somebody might who wants to do harm
        with contextlib.suppress(Exception):
            fields["fingerprint"] = _codebook_file.fingerprint(fields)
    path = folder() / "codebook.npz"
    path.write_bytes(overwrite(archive(fields), pieces))
    with refusal("Save it again"):
        loaded = Codebook.load(path)
        assert loaded.decode(loaded.encode(text)) == text
        assert loaded.decode(loaded.encode(TEXT)) == TEXT


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.sampled_from(("children", "bytes", "frequencies", "format_version")),
    st.none() | VALUES,
    CHANGES,
    st.booleans(),
    OVERWRITTEN,
    st.binary(max_size=60),
)
def test_prefix_cache_files(name, value, changes, signed, pieces, text):
    prefix_cache().save(folder() / "cache.npz")
    with np.load(folder() / "cache.npz") as file:
        fields = change(file, name, value, changes)
    if signed:
        with contextlib.suppress(Exception):
            fields["fingerprint"] = _prefix_cache_file.fingerprint(fields)
    path = folder() / "changed.npz"
    path.write_bytes(overwrite(archive(fields), pieces))
    with refusal():
        loaded = PrefixCache.load(path)
        tokenizer = LiveWindowTokenizer(counts(), window_bits=24, cache=loaded)
        assert tokenizer.detokenize(tokenizer(text)) == text


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.sampled_from((*shard_format._FIELDS, "new")),
    st.sampled_from(("documents", "tokens", "bytes", "files", "sha256", "new"))
    | st.none(),
    JSON,
    st.booleans(),
    OVERWRITTEN,
)
def test_manifests(name, inner, value, signed, pieces):
    shards = write_shards(
        [b"one", b"", b"three"],
        EqualInfoTokenizer(codebook()),
        folder() / "shards",
        overwrite=True,
    )
    content = dict(shards.manifest)
    if inner is None:
        content[name] = value
    else:
        content["shards"] = [{**content["shards"][0], inner: value}]
    checksum = None
    if signed:
        checksum = shard_format._checksum(content)
    data = json.dumps({"checksum": checksum, **content}).encode()
    path = folder() / "shards" / "manifest.json"
    path.write_bytes(overwrite(data, pieces))
    with refusal("Write the shards again"):
        loaded = TokenShards(folder() / "shards")
        assert len(loaded.tokens(0, loaded.num_tokens)) == loaded.num_tokens
        for i in range(loaded.num_documents):
            loaded.document(i)


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.lists(st.lists(st.integers(3, 511), min_size=1), max_size=3),
    OVERWRITTEN,
    st.integers(0, 10**5),
)
def test_containers(blocks, pieces, size):
    sink = io.BytesIO()
    writer = ContainerWriter(sink, codebook().fingerprint)
    for block in blocks:
        writer.write(block)
    writer.finish(num_bytes=7, sha256=bytes(32))
    data = overwrite(sink.getvalue(), pieces)[: size + 1]
    with refusal():
        reader = ContainerReader(io.BytesIO(data))
        found = [block.tolist() for block in reader.blocks()]
        assert (found, reader.num_bytes) == (blocks, 7)


@settings(deadline=None)  # the first one compiles kernels
@given(st.binary(max_size=2000))
def test_containers_of_any_bytes(data):
    with refusal():
        list(ContainerReader(io.BytesIO(data)).blocks())


@functools.cache
def tokenizers():
    made = [EqualInfoTokenizer(codebook(parse)) for parse in PARSES]
    made.append(EqualInfoTokenizer(codebook(), token_bits=3))
    made += [GZipTokenizer(bits) for bits in (8, 16)]
    made += [ArithmeticTokenizer(counts(), bits) for bits in (8, 16)]
    made.append(ArithmeticTokenizer(UnigramModel.from_text(TEXT)))
    for W, N in ((24, 8), (32, 16)):
        made.append(LiveWindowTokenizer(counts(), window_bits=W, token_bits=N))
    return made


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.integers(0, 12),
    st.lists(st.integers(-2, 70_000)) | ARRAYS,
    st.booleans(),
)
def test_any_ids(which, ids, skip_special):
    tokenizer = tokenizers()[which]
    try:
        text = tokenizer.detokenize(ids, skip_special=skip_special)
    except (ValueError, TypeError) as error:
        assert "Received" in str(error), error
    else:  # then they are what tokenizing gives, or another cut of the text
        texts = text if isinstance(text, list) else [text]
        for one in texts:
            assert tokenizer.detokenize(tokenizer(one)) == one


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.integers(0, 12),
    st.binary(max_size=80),
    st.lists(st.tuples(st.integers(0, 200), st.integers(3, 600)), max_size=3),
)
def test_changed_ids(which, text, changes):
    tokenizer = tokenizers()[which]
    ids = np.array(tokenizer(text))
    for at, value in changes:
        if ids.size:
            ids[at % ids.size] = value % tokenizer.vocabulary_size()
    with refusal():
        tokenizer.detokenize(ids)


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.sampled_from(("head", "starts_starts", "starts_bytes", "starts_counts",
                     "anywhere_counts", "anywhere_children")),
    st.none() | VALUES,
    CHANGES,
    OVERWRITTEN,
)  # fmt: skip
def test_entropy_model_files(name, value, changes, pieces):
    asset = ModelAsset(counts())
    asset.save(folder())
    path = folder() / asset.file_names[0]
    with np.load(path) as file:
        fields = change(file, name, value, changes)
    path.write_bytes(overwrite(archive(fields), pieces))
    with refusal("again"):
        loaded = ModelAsset(kind="ngram")
        loaded.load(folder())
        tokenizer = ArithmeticTokenizer(loaded.model)
        assert tokenizer.detokenize(tokenizer(TEXT)) == TEXT
