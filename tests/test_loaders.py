"""Any content of a file gives the right result or one clear error.

Tests are also targets of `tests.fuzz_loaders`, so they take no fixtures.
"""

import contextlib
import io
import json

import numpy as np
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.cli.block_coders import CodeBlocks
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding.codebook_file import FORMAT as CODEBOOK_FORMAT
from keras_nc.coding.prefix_cache import FORMAT as CACHE_FORMAT
from keras_nc.data import TokenShards
from keras_nc.data import shard_format
from keras_nc.data import write_shards
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers.compressed import ModelAsset
from tests.damage import CHANGES
from tests.damage import JSON
from tests.damage import OVERWRITTEN
from tests.damage import PARSES
from tests.damage import TEXT
from tests.damage import VALUES
from tests.damage import archive
from tests.damage import change
from tests.damage import codebook
from tests.damage import counts
from tests.damage import folder
from tests.damage import overwrite
from tests.damage import prefix_cache
from tests.damage import refusal


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
    if signed:  # as an attacker might
        with contextlib.suppress(Exception):
            fields["fingerprint"] = CODEBOOK_FORMAT.fingerprint(fields)
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
            fields["fingerprint"] = CACHE_FORMAT.fingerprint(fields)
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
    with refusal("rite the shards again"):
        loaded = TokenShards(folder() / "shards")
        assert len(loaded.tokens(0, loaded.num_tokens)) == loaded.num_tokens
        for i in range(loaded.num_documents):
            loaded.document(i)


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.lists(st.binary(min_size=1) | st.just(b"she sells " * 30), max_size=3),
    OVERWRITTEN,
    st.integers(0, 10**5),
)
def test_containers(texts, pieces, size):
    sink = io.BytesIO()
    writer = ContainerWriter(sink, codebook().fingerprint)
    coder = CodeBlocks(codebook())
    for text in texts:
        writer.write(coder.pack(text))
    writer.finish(num_bytes=7, sha256=bytes(32))
    data = overwrite(sink.getvalue(), pieces)[: size + 1]
    with refusal():
        reader = ContainerReader(io.BytesIO(data))
        found = [coder.unpack(block) for block in reader.blocks()]
        assert (found, reader.num_bytes) == (texts, 7)


@settings(deadline=None)  # the first one compiles kernels
@given(st.binary(max_size=2000))
def test_containers_of_any_bytes(data):
    with refusal():
        list(ContainerReader(io.BytesIO(data)).blocks())


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
