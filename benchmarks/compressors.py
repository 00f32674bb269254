"""Size and speed of encoded files beside general compressors.

    python -m benchmarks.compressors

The tables have bits per byte, and the speed of one core in MB/s both ways.
Texts are prose that the default corpus holds out, source code of the standard
library, and Python's documentation of its syntax, cut to several sizes. The
rows of keras-nc are named by what `keras-nc encode --with` takes. The model is
slow, so it codes only the beginning of a text. It restarts so often that more
text would not help it. The benchmark takes about two minutes of a core, most of
them for the model.
"""

import gzip
import importlib.util
import lzma
import time

from benchmarks import options
from benchmarks import texts
from benchmarks import timing
from keras_nc.cli.block_coders import load_blocks
from keras_nc.cli.files import DEFAULT_CODEBOOK
from recipes.flags import say

MODEL = "byte_lm_3m_en"
SIZES = (16 << 10, 64 << 10, 1 << 20)
QUICK_SIZES = (2 << 10,)
#: The most that a model codes.
MODEL_BYTES = 64 << 10
#: What decodes where.
ANYWHERE = "everywhere"
WITH_CODEBOOK = "wherever keras-nc is"
SAME_MACHINE = "with the same software on the same hardware"
#: A header and an end, and numbers of each block.
_FILE_BYTES, _HEAD_BYTES = 56 + 48, 20


class Encoded:
    """Compress and decompress as `keras-nc encode` and `decode` do.

    Args:
        name: str, a built-in codebook or model.
    """

    def __init__(self, name):
        self._blocks = load_blocks(name)

    def compress(self, text):
        """Return the blocks of a text, a list."""
        size = self._blocks.block_bytes
        starts = range(0, len(text), size)
        return [self._blocks.pack(text[i : i + size]) for i in starts]

    def decompress(self, blocks):
        """Return the text of blocks."""
        return b"".join([self._blocks.unpack(block) for block in blocks])

    @staticmethod
    def size(blocks):
        """Return the bytes of a file with these blocks."""
        content = sum([len(block.content) for block in blocks])
        return content + _FILE_BYTES + _HEAD_BYTES * len(blocks)


class Plain:
    """A general compressor.

    Args:
        compress: A function from bytes to bytes.
        decompress: A function from bytes to bytes.
    """

    size = staticmethod(len)

    def __init__(self, compress, decompress):
        self.compress, self.decompress = compress, decompress


def compressors():
    """Return compressors by name, with what decodes where; brotli if found."""
    import zstandard

    found = {
        DEFAULT_CODEBOOK: (Encoded(DEFAULT_CODEBOOK), WITH_CODEBOOK),
        MODEL: (Encoded(MODEL), SAME_MACHINE),
        "gzip -9": (
            Plain(lambda x: gzip.compress(x, 9), gzip.decompress),
            ANYWHERE,
        ),
        "xz -9e": (
            Plain(
                lambda x: lzma.compress(x, preset=9 | lzma.PRESET_EXTREME),
                lzma.decompress,
            ),
            ANYWHERE,
        ),
        "zstd -19": (
            Plain(
                zstandard.ZstdCompressor(level=19).compress,
                zstandard.ZstdDecompressor().decompress,
            ),
            ANYWHERE,
        ),
    }
    if importlib.util.find_spec("brotli"):
        import brotli

        found["brotli -q 11"] = (
            Plain(brotli.compress, brotli.decompress),
            (ANYWHERE),
        )
    return found


def measure(name, compressor, text):
    """Return bits per byte, and MB/s of compressing and decompressing."""
    start = time.process_time()
    packed = compressor.compress(text)
    middle = time.process_time()
    if compressor.decompress(packed) != text:
        raise AssertionError(f"{name} loses text")
    seconds = {"in": [middle - start], "out": [time.process_time() - middle]}
    if name != MODEL:  # it takes many seconds, so once is enough
        ways = {
            "in": lambda: compressor.compress(text),
            "out": lambda: compressor.decompress(packed),
        }
        contenders = [
            timing.Contender(way, call, len(text)) for way, call in ways.items()
        ]
        seconds = timing.race(contenders, rounds=3)
    speeds = [len(text) / 1e6 / min(seconds[way]) for way in ("in", "out")]
    return 8 * compressor.size(packed) / len(text), *speeds


def find_texts(max_bytes):
    """Return a dict from descriptions to texts, bytes."""
    kinds = list(texts.domains(max_bytes).items())[:2]
    found = {label: b"".join(documents) for label, documents in kinds}
    topics = importlib.import_module("pydoc_data.topics").topics
    label = "prose: Python's documentation of its syntax"
    found[label] = "\n".join(topics.values()).encode()
    return {label: text[:max_bytes] for label, text in found.items()}


def main(settings):
    """Measure all, print the tables."""
    sizes = QUICK_SIZES if settings.quick else SIZES
    found = compressors()
    for label, text in find_texts(max(sizes)).items():
        rows = []
        for size in sorted({min(size, len(text)) for size in sizes}):
            for name, (compressor, where) in found.items():
                if name == MODEL and size > MODEL_BYTES:
                    continue
                say(f"{label}, {size:,} bytes: {name}")
                rate, *speeds = measure(name, compressor, text[:size])
                cells = [f"{size:,}", f"{rate:.3f}"]
                cells += [f"{speed:.3g}" for speed in speeds]
                rows.append([name, *cells, where])
        heads = ["", "bytes", "bits/byte", "MB/s in", "MB/s out"]
        print(f"\n{label}\n")
        print(timing.table([*heads, "decodes"], rows), flush=True)
    print(f"\nOne core. {options.conditions('numpy', 'zstandard')}.")


if __name__ == "__main__":
    options.start(main)
