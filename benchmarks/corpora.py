"""From compressed JSON lines to token shards, and from shards to batches.

    python -m benchmarks.corpora

The first table has the stages of one process by its own time: what they take of
a second, and the speed that each would reach alone. The second has the whole
way, by one and by two workers, on the wall, beside M1 over a sample of the same
bytes, as the paper does for every byte. The third table splits these times into
constant seconds and a speed. The last has the readers of shards that feed a
model.
"""

import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import zstandard

from benchmarks import options
from benchmarks import texts
from benchmarks import timing
from keras_nc import models
from keras_nc.data import PackedSequences
from keras_nc.data import TokenShards
from keras_nc.data import read_documents
from keras_nc.data import tf_dataset
from keras_nc.data import tokenize_corpus
from keras_nc.data import write_shards
from keras_nc.data.files import open_file
from keras_nc.tokenizers import EqualInfoTokenizer
from recipes.flags import say

#: The tokenizers that are compared: the recommended one, and the paper's.
PRESETS = ("equal_info_16bit_en", "equal_info_16bit_paper_en")
BYTES = 64_000_000
FILES = 4
ROUNDS = 3
#: What M1 reads: rows of this many bytes, batch after batch.
M1_ROWS, M1_LENGTH, M1_SECONDS = 32, 512, 6
#: Batches of the readers, and how many are read.
SEQUENCE_LENGTH, BATCH_SIZE, BATCHES = 512, 64, 200


def main(settings):
    """Write the corpus, tokenize it, read it; print the tables."""
    quick = settings.quick
    settings.max_bytes = settings.max_bytes or BYTES
    documents = texts.training_text(settings.data, settings.max_bytes)
    amount = sum(map(len, documents))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        say(f"Writing {amount:,} bytes as {FILES} files")
        files = write_files(documents, folder)
        rates = {}
        for preset in PRESETS:
            say(f"Tokenizing with {preset}")
            tokenizer = EqualInfoTokenizer.from_preset(preset)
            tokenizer.encode_batch(documents[:1])  # compiles
            print_stages(preset, tokenizer, documents, files, folder)
            rates[preset] = time_workers(tokenizer, files, folder, quick)
        say("Running M1")
        m1 = m1_rate(documents, 1 if quick else M1_SECONDS)
        print_rates(rates, m1, amount)
        print_constants(rates, amount, sum(map(len, half_of(documents))))
        say("Reading")
        print_readers(folder / "shards-1")
    print(
        f"\n{amount:,} bytes of text in {FILES} files of .jsonl.zst; medians "
        f"of {1 if quick else ROUNDS} rounds on the wall; stages in seconds of "
        f"the process. {options.conditions('numpy', 'numba', 'zstandard')}"
    )


def write_files(documents, folder):
    """Write documents as JSON lines, compressed; return the paths."""
    # The first half of the files has `half_of` the documents.
    files = [folder / f"part-{number}.jsonl.zst" for number in range(FILES)]
    for number, file in enumerate(files):
        with zstandard.open(file, "wb") as stream:
            for document in documents[number::FILES]:
                record = {"text": document.decode(errors="replace")}
                stream.write(json.dumps(record).encode() + b"\n")
    return files


def half_of(documents):
    """Return the documents in the first half of the files."""
    return [d for i, d in enumerate(documents) if i % FILES < FILES // 2]


@contextlib.contextmanager
def measured(seconds, name):
    """Add the process's time in the block to a dict."""
    start = time.process_time()
    yield
    seconds[name] = time.process_time() - start


class Ready:
    """A tokenizer whose ids are known, so that only writing takes time."""

    def __init__(self, tokenizer, ids, offsets):
        self._tokenizer = tokenizer
        self._ids, self._offsets, self._done = ids, offsets, 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode_batch(self, documents):
        """Return the ids of the next documents."""
        first, self._done = self._done, self._done + len(documents)
        offsets = self._offsets[first : self._done + 1]
        return self._ids[offsets[0] : offsets[-1]], offsets - offsets[0]


def print_stages(preset, tokenizer, documents, files, folder):
    """Print what each stage takes of one process's time."""
    seconds = {}
    with timing.pinned(1):
        with measured(seconds, "decompress"):
            for file in files:
                with open_file(file) as stream:
                    while stream.read(2**20):
                        pass
        with measured(seconds, "read"):
            for _ in read_documents(files):
                pass
        with measured(seconds, "encode"):
            ids, offsets = tokenizer.encode_batch(documents)
        ready = Ready(tokenizer, ids, offsets)
        with measured(seconds, "write"):
            write_shards(
                *(documents, ready, folder / "stages"),
                overwrite=True,
                progress=False,
            )
    stages = {
        "zstd": seconds["decompress"],
        "JSON lines to documents": seconds["read"] - seconds["decompress"],
        "windows": seconds["encode"],
        "hashes and files of shards": seconds["write"],
    }
    total = sum(stages.values())
    amount = sum(map(len, documents)) / 1e6
    rows = [
        [name, f"{part / total:.1%}", f"{amount / part:,.0f}"]
        for name, part in stages.items()
    ]
    rows.append(["all", "100.0%", f"{amount / total:,.1f}"])
    print(f"\n{timing.table([preset, 'of the time', 'MB/s alone'], rows)}")


def time_workers(tokenizer, files, folder, quick):
    """Return seconds on the wall, a dict by workers and number of files."""
    seconds = {(w, n): [] for w in (1, 2) for n in (FILES // 2, FILES)}
    for _ in range(1 if quick else ROUNDS):
        for (workers, number), found in seconds.items():
            start = time.perf_counter()
            tokenize_corpus(
                *(files[:number], tokenizer, folder / f"shards-{workers}"),
                overwrite=True,
                workers=workers,
                progress=False,
            )
            found.append(time.perf_counter() - start)
    return {key: statistics.median(found) for key, found in seconds.items()}


def start_seconds(preset):
    """Return the seconds until a new process has tokenized a first text."""
    code = (
        "import sys; from keras_nc.coding import TextTokenizer; "
        "TextTokenizer.from_preset(sys.argv[1]).encode_batch([b'text'])"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, preset], check=True)
    return time.perf_counter() - start


def print_constants(rates, amount, half):
    """Print the seconds that do not grow with the text, and the speed."""
    rows = []
    for preset, seconds in rates.items():
        for workers in (1, 2):
            small, large = (seconds[workers, n] for n in (FILES // 2, FILES))
            figures = ["lost in noise", ""]
            if large > small:
                speed = (amount - half) / (large - small)
                constant = max(0.0, large - amount / speed)
                figures = [f"{constant:.3f}", f"{speed / 1e6:,.1f}"]
            rows.append([f"{preset}, workers: {workers}", *figures])
        started = f"{start_seconds(preset):.2f}"
        rows.append([f"{preset}, start of a process", started, ""])
    header = ["from two sizes of text", "constant seconds", "MB/s beyond"]
    print(f"\n{timing.table(header, rows)}")


def m1_rate(documents, most_seconds):
    """Return the bytes a second at which the 3m M1 gives probabilities."""
    m1 = models.ByteCausalLM.from_preset("byte_lm_3m_en")
    size = M1_ROWS * M1_LENGTH
    text = np.frombuffer(b"".join(documents[:1000])[: 64 * size], np.uint8)
    text = np.resize(text, 64 * size).reshape(64, M1_ROWS, M1_LENGTH)
    ids = text.astype("int32") + 3
    ids[:, :, 0] = 1
    mask = np.ones_like(ids[0])

    def run(batch):
        m1.predict_on_batch({"token_ids": batch, "padding_mask": mask})

    run(ids[0])
    start = time.perf_counter()
    done = 0
    while time.perf_counter() - start < most_seconds:
        run(ids[done % len(ids)])
        done += 1
    return done * size / (time.perf_counter() - start)


def print_rates(rates, m1, amount):
    """Print the speed of the whole way."""
    header = ["files to shards", "one worker, MB/s", "two workers", "times"]
    header.append("two workers x M1")
    rows = []
    for name, seconds in rates.items():
        slow, fast = (amount / seconds[workers, FILES] for workers in (1, 2))
        row = [name, f"{slow / 1e6:,.1f}", f"{fast / 1e6:,.1f}"]
        rows.append([*row, f"{fast / slow:.2f}", f"{fast / m1:,.0f}"])
    rows.append(["M1 3m, all cores", f"{m1 / 1e6:.4f}", "", "", "1"])
    print(f"\n{timing.table(header, rows)}")


def print_readers(folder):
    """Print the tokens a second of one process that reads shards."""
    shards = TokenShards(folder)
    settings = dict(steps=BATCHES, drop_remainder=False)
    rows = []
    for name, own in {
        "joined": {},
        "whole documents, document masks": {
            "packing": "whole",
            "document_masks": True,
        },
    }.items():
        data = PackedSequences(
            shards, SEQUENCE_LENGTH, BATCH_SIZE, **settings, **own
        )
        tokens = BATCHES * BATCH_SIZE * SEQUENCE_LENGTH
        readers = {"PyDataset": data}
        with contextlib.suppress(ImportError):
            readers["tf.data"] = tf_dataset(data)
        for kind, batches in readers.items():
            next(iter(batches))
            start = time.process_time()
            for _ in batches:
                pass
            elapsed = time.process_time() - start
            rows.append([f"{name}: {kind}", f"{tokens / elapsed / 1e6:,.1f}"])
    header = [f"batches of {BATCH_SIZE} x {SEQUENCE_LENGTH}", "M tokens/s"]
    print(f"\n{timing.table(header, rows)}")


if __name__ == "__main__":
    options.start(main)
