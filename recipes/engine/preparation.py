"""Make tokenizers and token shards before training, in parallel processes.

What training needs of a tokenizer is then on the disk: its files, its shards,
and its figures. A machine with a GPU that gets the folder only trains.
"""

import concurrent.futures
import dataclasses
import itertools
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import time
from collections.abc import Callable

import numpy as np

from keras_nc.coding.archive import fingerprint_of
from keras_nc.data import TokenShards
from keras_nc.data import take_bytes
from keras_nc.data import write_shards
from keras_nc.evaluation import instability
from keras_nc.evaluation import token_counts
from keras_nc.evaluation import unigram_bits_per_byte
from keras_nc.tokenizers import SchemeTokenizer
from recipes import contenders
from recipes import workdir
from recipes.engine import machine
from recipes.engine.shared_shards import link_folder
from recipes.engine.shared_shards import shared_name
from recipes.engine.unseen import unseen_documents
from recipes.flags import say
from recipes.tokenize_corpus import documents_to_tokenize

#: What takes longest to import, once for all processes.
_LIBRARIES = ["keras_nlp", "numba"]
SPLITS = ("train", "held_out", "probe")
UNSEEN = "unseen"
SENTENCE = (
    b" was what they had been waiting for, and when it came at last nobody in "
    b"the room was surprised by what it said about the work of the year."
)
FIRST_WORDS = 500
#: With M1 in the loop.
FEW_FIRST_WORDS = 20
#: Documents that are joined before they are cut into examples, as in the paper.
JOINED = 128
SEPARATOR = b"\n\n"


@dataclasses.dataclass(frozen=True)
class Job:
    """A tokenizer to make, and the text to tokenize with it.

    Args:
        setting: A `Setting`, whose `config` says how much text there is.
        name: str. What the tokenizer is called in tables.
        ids: int. Size of the vocabulary.
        unseen: tuple of str. Files of another kind of text, possibly none.
        make: A function of the name, a list of bytes to learn from, and the
            number of ids, that returns a `SchemeTokenizer`. Processes import
            it, so it must have a name in a module.
        example_bytes: int. Join `JOINED` documents at a time, and cut them into
            examples of this many bytes, as the paper does; `None` keeps
            documents.
        m1: str. What `make` takes as M1, or `None`.
        shared: `pathlib.Path` of a folder of shards that several workdirs
            share, or `None`.
        device_rows: int. How many texts M1 reads at once on the device; `None`
            for the CPU. See `ByteLMModel`.
    """

    setting: object
    name: str
    ids: int
    unseen: tuple = ()
    make: Callable = contenders.make_tokenizer
    example_bytes: int | None = None
    m1: str | None = None
    shared: pathlib.Path | None = None
    device_rows: int | None = None

    @property
    def folder(self):
        """Where the tokenizer and its shards go, a `pathlib.Path`."""
        name = f"{slug(self.name)}_{self.ids}"
        return self.setting.workdir / "prepared" / name

    @property
    def progress(self):
        """Whether to show how far the tokenizing is: with M1 it takes long."""
        return self.m1 is not None

    @property
    def splits(self):
        """The names of the shards."""
        return (*SPLITS, UNSEEN) if self.unseen else SPLITS


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A tokenizer that is ready for training.

    Args:
        figures: dict. What preparation measured, with fingerprints.
        shards: dict of `TokenShards` by split.
        folder: `pathlib.Path` of the tokenizer's files.
    """

    figures: dict
    shards: dict
    folder: pathlib.Path

    def tokenizer(self):
        """Load the tokenizer."""
        return SchemeTokenizer.from_preset(str(self.folder))


def prepare_all(jobs, workers=1, deadline=None):
    """Prepare what is not prepared yet.

    Args:
        jobs: A list of `Job`.
        workers: int. Processes at a time.
        deadline: A `Deadline`; no job starts after it.

    Raises:
        ValueError: If a tokenizer cannot be made, or a process was killed.
    """
    waiting = {}
    for job in jobs:
        if read_figures(job) is None:
            waiting[job.folder] = job
    waiting = list(waiting.values())
    if min(workers, len(waiting)) < 2:
        for job in waiting:
            if deadline is None or not deadline.passed():
                prepare(job)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(waiting)),
        _context(),
        _share_cores,
        [min(workers, len(waiting))],
    )
    with pool:
        futures = [
            pool.submit(prepare, job, deadline and deadline.time)
            for job in waiting
        ]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except concurrent.futures.process.BrokenProcessPool:
            raise ValueError(
                "All processes of the preparation must live to its end. "
                f"Received: one that was killed, of {workers}. If memory is "
                "short, run the same command with fewer --workers."
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _context():
    """Return how processes start; a fork would copy the backend's threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LIBRARIES)
    return context


def _share_cores(workers):
    """Let the kernels of a process use its share of the cores."""
    threads = max(1, machine.cpu_count() // workers)
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))


def prepare(job, latest=None):
    """Make one tokenizer, its shards and its figures.

    If a run before was killed, this continues from the files that it left.

    Args:
        job: A `Job`.
        latest: float. Do nothing after this time, of `time.time`.
    """
    if latest is not None and time.time() >= latest:
        return
    tokenizer, seconds = _make(job)
    if job.device_rows:
        tokenizer.scheme.model.device_rows = job.device_rows
    shards = {}
    say(f"Tokenizing, {job.name}")
    start = time.perf_counter()
    for split in job.splits:
        shards[split] = _tokenize(job, split, tokenizer)
    held_out = shards["held_out"]
    figures = {
        "settings": _settings(job),
        "fingerprint": tokenizer.fingerprint,
        "vocabulary_size": tokenizer.vocabulary_size(),
        "seconds": seconds,
        "tokenize_seconds": time.perf_counter() - start,
        "device_rows": job.device_rows,
        "bytes_per_token": {
            split: shards[split].bytes_per_token for split in job.splits
        },
        "shards": {split: digest(shards[split]) for split in job.splits},
        "used_ids": int(np.count_nonzero(token_counts(held_out))),
        "unigram": unigram_bits_per_byte(shards["train"], held_out),
        "changed": _instability(job, tokenizer),
    }
    workdir.write_json(job.folder / "prepared.json", figures)


def _tokenize(job, split, tokenizer):
    """Write the shards of a split, or take them from the shared folder."""
    folder, shared = job.folder / split, None
    if job.shared is not None:
        documents = _documents(job, split, tokenizer)
        shared = job.shared / shared_name(tokenizer, documents)
        if shared.exists() and not folder.exists():
            link_folder(shared, folder)
    # `write_shards` compares existing shards with the documents.
    batch = {}
    if job.device_rows:
        # Give every row of the device a text.
        batch["batch_bytes"] = job.device_rows * job.example_bytes
    shards = write_shards(
        _documents(job, split, tokenizer),
        tokenizer,
        folder,
        progress=job.progress,
        **batch,
    )
    if shared is not None and not shared.exists():
        link_folder(folder, shared)
    return shards


def _documents(job, split, tokenizer):
    """Iterate over the documents of a split."""
    if split == UNSEEN:
        documents = unseen_documents(job.unseen, job.setting.text_key)
    else:
        documents = documents_to_tokenize(job.setting, split, tokenizer)
    if job.example_bytes:
        documents = examples(documents, job.example_bytes)
    return documents


def examples(documents, size, joined=JOINED):
    """Join documents, and cut them into examples (the paper, section 3.3).

    Args:
        documents: iterable of bytes.
        size: int. Bytes of an example; the last of a join may be shorter.
        joined: int. Documents to join.

    Returns:
        An iterator of bytes.
    """
    documents = iter(documents)
    while batch := list(itertools.islice(documents, joined)):
        text = SEPARATOR.join(batch)
        for start in range(0, len(text), size):
            yield text[start : start + size]


def read_figures(job):
    """Return the figures of a prepared tokenizer, or `None`.

    Raises:
        ValueError: If it was prepared with other settings.
    """
    path = job.folder / "prepared.json"
    figures = workdir.read_json(path)
    if figures is not None:
        its = figures.get("settings", {})
        found = workdir.first_difference(_settings(job), its)
        if found is not None:
            name, ours, theirs = found
            raise ValueError(
                f"{path} was made with {name}={theirs!r}. Received: {ours!r}. "
                "Use the same flags, or another --workdir."
            )
    return figures


def open_prepared(job):
    """Open what `prepare` made.

    Returns:
        A `Prepared`, or `None` if it is not prepared.

    Raises:
        ValueError: If the shards are damaged, or other ones.
    """
    figures = read_figures(job)
    if figures is None:
        return None
    shards = {}
    for split in job.splits:
        try:
            shards[split] = TokenShards(job.folder / split)
            problem = "other ones"
        except ValueError as error:
            problem = f"damaged ones ({error})"
        if (
            split not in shards
            or digest(shards[split]) != figures["shards"][split]
        ):
            raise ValueError(
                f"The shards in {job.folder / split} must be those that "
                f"prepared.json names. Received: {problem}. Delete the folder "
                f"{job.folder} and run the same command with --prepare."
            )
    return Prepared(figures, shards, job.folder / "tokenizer")


def digest(shards):
    """Return a digest of the tokenizer and all tokens of shards, a str."""
    files = [
        shard["files"]["tokens"]["sha256"]
        for shard in shards.manifest["shards"]
    ]
    text = json.dumps([shards.fingerprint, *files])
    return fingerprint_of(text)


def slug(name):
    """Return a name as part of a file name."""
    return re.sub(r"\W+", "_", name).strip("_").lower()


def _make(job):
    """Make the tokenizer, or load what an earlier run made."""
    folder = job.folder / "tokenizer"
    if folder.exists():
        return SchemeTokenizer.from_preset(str(folder)), None
    config = job.setting.config
    most = min(config.codebook.text_bytes, config.sentencepiece.text_bytes)
    text = list(take_bytes(job.setting.documents("train"), most))
    say(f"Making {job.name}, {job.ids:,} ids")
    start = time.perf_counter()
    tokenizer = job.make(job.name, text, job.ids)
    seconds = time.perf_counter() - start
    # The folder is complete or does not exist.
    temporary = job.folder / "tokenizer.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tokenizer.save_to_preset(str(temporary))
    temporary.rename(folder)
    return tokenizer, seconds


def _settings(job):
    """Return what decides the files of a job, for JSON."""
    config = job.setting.config
    return {
        "name": job.name,
        "ids": job.ids,
        "unseen": list(job.unseen),
        "codebook_text_bytes": config.codebook.text_bytes,
        "sentencepiece_text_bytes": config.sentencepiece.text_bytes,
        "train_bytes": config.train_bytes,
        "held_out_bytes": config.held_out_bytes,
        "probe_bytes": config.probe_bytes,
        # What was prepared before there were examples has no such keys.
        **({"example_bytes": job.example_bytes} if job.example_bytes else {}),
        **({"m1": job.m1} if job.m1 else {}),
    }


def _instability(job, tokenizer):
    """Return how much changes with the first word of a sentence.

    Return `None` if the text has fewer than two words, as it may in a language
    without spaces.
    """
    words = _first_words(job)
    return None if len(words) < 2 else instability(tokenizer, SENTENCE, words)


def _first_words(job):
    """Return the first words of held-out texts, in order."""
    count = FIRST_WORDS if job.m1 is None else FEW_FIRST_WORDS
    words = {}
    for document in job.setting.documents("held_out"):
        words.update(dict.fromkeys(document.split()))
        if len(words) >= count:
            break
    return list(words)[:count]
