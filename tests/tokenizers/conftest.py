import pytest

TEXTS = [
    b"",
    b"a",
    b"\x00",
    b"trailing\x00\x00",
    b"\x00" * 200,
    b"\xff" * 200,
    "na\u00efve \U0001f600 text".encode(),
    b"\xc3(\xff invalid",
    b"the quick brown fox jumps over the lazy dog. " * 20,
]
NAMES = ["bytes", "one_token", "two_tokens", "four_tokens", "twelve_bits"]
NAMES += ["bpe", "dictionary", "sentencepiece"]
#: Here a document is one stream, so prompts cannot be split.
STREAMS = ["ac", "static_ac", "gzip", "gzip_pairs"]
NAMES += STREAMS


@pytest.fixture(scope="session")
def tokenizers(codebooks, text):
    """A tokenizer of each kind, by name. All must pass the same tests."""
    from keras_nc import tokenizers as kinds
    from keras_nc.entropy_models import NGramModel
    from keras_nc.entropy_models import UnigramModel

    counts = NGramModel.from_text(text[:50000], order=3)
    bytes_ = UnigramModel.from_text(text)
    return {
        "bytes": kinds.ByteTokenizer(),
        "one_token": kinds.EqualInfoTokenizer(codebooks[16]),
        "two_tokens": kinds.EqualInfoTokenizer(codebooks[16], token_bits=8),
        "four_tokens": kinds.EqualInfoTokenizer(codebooks[16], token_bits=4),
        "twelve_bits": kinds.EqualInfoTokenizer(codebooks[12]),
        "bpe": kinds.train_bpe([text], 600, split=None),
        "dictionary": kinds.train_dictionary([text], 1024),
        "sentencepiece": kinds.train_sentencepiece([text[:50_000]], 400),
        "ac": kinds.ArithmeticTokenizer(counts, context_bytes=64),
        "static_ac": kinds.ArithmeticTokenizer(
            bytes_, token_bits=16, precision=14
        ),
        "gzip": kinds.GZipTokenizer(),
        "gzip_pairs": kinds.GZipTokenizer(token_bits=16),
    }


@pytest.fixture(params=NAMES)
def tokenizer(request, tokenizers):
    return tokenizers[request.param]
