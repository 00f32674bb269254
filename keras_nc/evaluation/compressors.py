"""Bits per byte of general compressors, as baselines for models."""

import gzip
import lzma

import zstandard

from keras_nc.coding.inputs import join_documents


def compressors_bits_per_byte(documents):
    """Compress text with gzip, xz, zstd and brotli at their strongest.

    All documents are joined, with nothing between them, and compressed
    together. Headers and checksums count, so short text looks worse than long
    text. A compressor learns from this text only; a trained model has learned
    from other text before.

    Brotli is the slowest, at about half a megabyte per second.

    Args:
        documents: `str` or bytes, or a list of documents.

    Returns:
        dict from `"gzip -9"`, `"xz -9e"`, `"zstd -19"` and `"brotli -11"` to
        bits per byte, floats.

    Raises:
        TypeError: if a document is not text.
        ValueError: if there are no bytes.
        ImportError: if brotli is not installed.

    Example:
    >>> ratios = compressors_bits_per_byte([b"a rose is ", b"a rose"] * 99)
    >>> list(ratios)
    ['gzip -9', 'xz -9e', 'zstd -19', 'brotli -11']
    >>> max(ratios.values()) < 1
    True
    """
    text = join_documents(documents)[0].tobytes()
    if not text:
        raise ValueError(
            "`documents` must hold at least one byte. Received: no text. Pass "
            "the held-out text."
        )
    try:
        import brotli
    except ImportError as error:
        raise ImportError(
            "The package brotli must be installed. Received: an "
            "installation without it. Install the extra [recipes], as in "
            '`pip install -e ".[recipes]"`.'
        ) from error
    # gzip's header holds the time; 0 makes the result deterministic.
    compressed = {
        "gzip -9": gzip.compress(text, 9, mtime=0),
        "xz -9e": lzma.compress(text, preset=9 | lzma.PRESET_EXTREME),
        "zstd -19": zstandard.ZstdCompressor(level=19).compress(text),
        "brotli -11": brotli.compress(text, quality=11),
    }
    return {name: 8 * len(c) / len(text) for name, c in compressed.items()}
