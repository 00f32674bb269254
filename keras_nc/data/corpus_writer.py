"""Write the token shards of a corpus with many processes, or with Beam.

The parts of the input are divided into groups by their sizes alone. Each group
is tokenized by itself into a folder of its own. At the end, its shards move to
the folder of the corpus. So the shards do not depend on what does the work.
"""

import concurrent.futures.process
import contextlib
import dataclasses
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import pickle
import secrets
import shutil
import signal
import threading

from keras_nc.coding.inputs import as_integer
from keras_nc.data import shard_format
from keras_nc.data import shard_writer
from keras_nc.data.corpus_groups import INPUTS
from keras_nc.data.corpus_groups import REMEDY
from keras_nc.data.corpus_groups import Job
from keras_nc.data.corpus_groups import describe
from keras_nc.data.corpus_groups import divide
from keras_nc.data.corpus_groups import is_unchanged
from keras_nc.data.corpus_groups import read_group
from keras_nc.data.corpus_groups import read_records
from keras_nc.data.corpus_groups import write_group
from keras_nc.data.corpus_groups import write_records
from keras_nc.data.documents import ReadingReport
from keras_nc.data.documents import find_parts
from keras_nc.data.token_shards import TokenShards
from keras_nc.imports import need
from keras_nc.progress import ProgressLine


def tokenize_corpus(
    patterns,
    tokenizer,
    directory,
    *,
    text_key="text",
    skip_damaged=False,
    select=None,
    shard_tokens=2**26,
    overwrite=False,
    workers=1,
    runner=None,
    runner_options=(),
    progress=True,
):
    r"""Tokenize files and data sets into token shards, by many processes.

    The shards do not depend on `workers` and `runner`. If the run is stopped or
    killed, the same call continues it: complete shards are not tokenized again,
    and complete groups of files are not read again unless a file has changed.
    If all shards are there, only damaged ones are written again. The manifest
    is written last, so nothing reads shards that are not complete.

    `inputs.json`, beside the manifest, says which files each group of shards
    was made from, how many texts were empty, and what was skipped.

    Args:
        patterns: the input, see `read_documents`.
        tokenizer: see `write_shards`. With several workers it is pickled.
        directory: folder for the shards, created if missing. All workers must
            see it under this path.
        text_key: str, see `read_documents`.
        skip_damaged: bool, whether to skip what cannot be read, and list it in
            `inputs.json`. By default, it is an error.
        select: a function of a document that returns the bytes to keep, or
            `None` to keep all. With several workers it is pickled.
        shard_tokens: int, see `write_shards`. The last shard of a group may
            have fewer.
        overwrite: if True, existing shards are deleted first.
        workers: int, processes on this machine, by default 1. If there are
            fewer groups than workers, each process tokenizes with several
            threads.
        runner: str, a runner of Apache Beam that does the work instead, such
            as `"DirectRunner"` or `"DataflowRunner"`; `None` for processes.
        runner_options: list of str, options of the Beam pipeline, as in
            `["--region=us-central1"]`.
        progress: if True, shows megabytes and speed on a terminal.

    Returns:
        The `TokenShards`.

    Raises:
        ValueError: if the input has no text, cannot be read, or is not that of
            the shards in the folder; if another process writes to the folder;
            or if a worker dies.
        ImportError: if a package that the input or the runner needs is missing.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import tokenize_corpus
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.jsonl")
    ...     _ = path.write_text('{"text": "one"}\n{"text": "three"}')
    ...     shards = tokenize_corpus(path, ByteTokenizer(), f"{folder}/shards")
    ...     shards.num_documents, shards.num_tokens, shards.num_bytes
    (2, 10, 8)
    """
    workers = as_integer("workers", workers)
    groups = tuple(divide(find_parts(patterns)))
    job = Job(
        groups,
        tokenizer,
        pathlib.Path(directory),
        text_key,
        skip_damaged,
        as_integer("shard_tokens", shard_tokens),
        select,
    )
    with shard_format.locked(job.directory):
        if overwrite:
            _delete(job.directory)
        return _write(job, workers, runner, runner_options, progress)


def _write(job, workers, runner, runner_options, progress):
    """Write all shards of a corpus, or continue; return the `TokenShards`."""
    groups = range(len(job.groups))
    manifest = job.directory / shard_format.MANIFEST
    records = read_records(job)
    if _need_no_groups(job, records, manifest):
        # This compares all documents, or asks for the manifest.
        report = ReadingReport(job.skip_damaged)
        documents = itertools.chain.from_iterable(
            job.documents(number, report) for number in groups
        )
        return shard_writer.write_documents(
            documents,
            job.tokenizer,
            job.directory,
            shard_tokens=job.shard_tokens,
            progress=progress,
            threads=workers,
        )
    if records is None:
        records = [{"parts": describe(group)} for group in job.groups]
        write_records(job, records)
        # This file says that shards are being written here.
        progress_file = job.directory / shard_format.PROGRESS
        shard_format.write_manifest(progress_file, _fields(job), sync=False)
    if not manifest.exists():
        if runner is None:
            _run_workers(job, records, workers, progress)
        else:
            _run_beam(job, records, runner, runner_options)
        _join(job, [read_group(job, number) for number in groups])
    else:
        _repair(job, records, progress)
    (job.directory / shard_format.PROGRESS).unlink(missing_ok=True)
    for number in groups:
        shutil.rmtree(job.folder(number), ignore_errors=True)
    shard_writer.delete_half_written(job.directory)
    return TokenShards(job.directory)


def _need_no_groups(job, records, manifest):
    """Return whether the folder has shards that were not written by groups."""
    if records is not None:
        numbers = range(len(job.groups))
        joined = all("shards" in record for record in records)
        begun = any(job.folder(number).exists() for number in numbers)
        if manifest.exists() or begun or not joined:
            return False
    return any(map(_is_shard_file, job.directory.iterdir()))


def _is_shard_file(path):
    known = (shard_format.MANIFEST, shard_format.PROGRESS)
    return path.name in known or shard_format.is_of_shard(path)


def _unfinished(job, records):
    """List the groups to write, or to compare because a file has changed."""
    return [
        number
        for number, record in enumerate(records)
        if read_group(job, number) is None
        or not is_unchanged(job, number, record)
    ]


def _run_workers(job, records, workers, progress):
    numbers = _unfinished(job, records)
    processes = min(workers, len(numbers))
    if processes <= 1:
        for number in numbers:
            write_group(job, number, workers, progress)
        return
    job = dataclasses.replace(job, tokenizer=_without_keras(job.tokenizer))
    context = multiprocessing.get_context("spawn")  # safe beside threads
    others = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, context, _keep_job, (pickle.dumps(job),)
    )
    try:
        tasks = [
            pool.submit(_write_group_of_kept, number, threads)
            for number, threads in _shares(job, numbers, workers)
        ]
        with ProgressLine("Tokenizing", enabled=progress) as line:
            for task in concurrent.futures.as_completed(tasks):
                line.update(task.result(), f"{len(records)} groups")
    except concurrent.futures.process.BrokenProcessPool as error:
        raise ValueError(
            "Workers must live until all documents are written. Received: a "
            "worker that was killed or ran out of memory. Run the same again: "
            "it goes on after the last complete shards. If it happens again, "
            "use fewer `workers` or a smaller `shard_tokens`."
        ) from error
    except BaseException:
        # Do not wait for groups: the same call continues with them.
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _without_keras(tokenizer):
    """Return a tokenizer with the same ids that needs no Keras, if possible.

    Workers that do not import Keras start in a second.
    """
    scheme = getattr(tokenizer, "scheme", None)
    try:
        return scheme.text_tokenizer
    except (AttributeError, ValueError):  # it has none, or split windows
        return tokenizer


def _shares(job, numbers, workers):
    """Return groups, the largest first, and how many threads each gets.

    A group has one thread. If the last groups are fewer than the workers, they
    share the threads of all workers.
    """
    sizes = {n: sum(p.size or 0 for p in job.groups[n]) for n in numbers}
    numbers = sorted(numbers, key=sizes.get, reverse=True)
    last = len(numbers) % workers
    threads = [1] * (len(numbers) - last) + [workers // max(last, 1)] * last
    return zip(numbers, threads, strict=True)


def _keep_job(pickled):
    # The process that started this one decides when it ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _kept_job
    _kept_job = pickle.loads(pickled)


def _end_with_parent():
    """End this process if the one that started it was killed."""
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _write_group_of_kept(number, threads):
    return write_group(_kept_job, number, threads)


def _run_beam(job, records, runner, options):
    beam = need("apache_beam", "beam", f"The runner {runner!r}")
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions([f"--runner={runner}", *options])
    numbers = _unfinished(job, records)
    if not numbers:
        return
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Groups" >> beam.Create(numbers)
            | "Spread" >> beam.Reshuffle()
            | "Tokenize" >> beam.Map(write_attempt, job)
        )


def write_attempt(number, job):
    """Write a group in a worker of Beam, which may run it twice at a time."""
    if read_group(job, number) is not None:
        write_group(job, number)  # a file has changed: compare
        return
    name = f"{job.folder(number).name}.{secrets.token_hex(8)}.tmp"
    attempt = dataclasses.replace(job, directory=job.directory / name)
    try:
        write_group(attempt, number)
        if read_group(job, number) is None:
            # What workers left half-written cannot be replaced.
            shutil.rmtree(job.folder(number), ignore_errors=True)
            with contextlib.suppress(OSError):  # another attempt was faster
                os.rename(attempt.folder(number), job.folder(number))
    finally:
        shutil.rmtree(attempt.directory, ignore_errors=True)


# === The end ===


def _fields(job):
    """Return the manifest of a corpus without shards, a dict."""
    fields = shard_format.describe_tokenizer(job.tokenizer)
    return {**fields, "shard_tokens": job.shard_tokens, "shards": []}


def _join(job, groups):
    """Move the shards of all groups to one folder, the manifest last."""
    fields = _fields(job)
    for number, group in enumerate(groups):
        folder = job.folder(number)
        if not group["shards"]:
            continue
        manifest = shard_format.read_manifest(folder / shard_format.MANIFEST)
        for name in fields.keys() - {"shards"}:
            if manifest[name] != fields[name]:
                raise ValueError(
                    f"{folder} holds shards with {name}={manifest[name]!r}; "
                    "the others must be the same. Received: "
                    f"{name}={fields[name]!r}. {REMEDY}"
                )
        for index, shard in enumerate(manifest["shards"]):
            for array in shard_format.ARRAYS:
                source = folder / shard_format.file_name(array, index)
                target = job.directory / shard_format.file_name(
                    array, len(fields["shards"])
                )
                if source.exists():  # else it moved before an interruption
                    os.replace(source, target)
            fields["shards"].append(shard)
    if not fields["shards"]:
        _delete(job.directory)  # so that other files can be named
        raise ValueError(
            "Token shards need at least one byte of text. Received: input "
            f"with none, {sum(g['empty'] for g in groups):,} empty texts and "
            f"{sum(len(g['skipped']) for g in groups):,} skipped. Name other "
            "files."
        )
    write_records(job, groups)
    shard_format.write_manifest(job.directory / shard_format.MANIFEST, fields)


def _repair(job, records, progress):
    """Write damaged shards again; compare groups whose files have changed."""
    fields = _fields(job)
    del fields["shards"]
    manifest = shard_format.read_manifest(job.directory / shard_format.MANIFEST)
    shard_format.check_fields(job.directory, manifest, fields, REMEDY)
    first = 0
    with ProgressLine("Checking shards", enabled=progress) as line:
        for number, record in enumerate(records):
            last = first + record["shards"]
            shards = manifest["shards"][first:last]
            damaged = [
                shard_format.find_damage(job.directory, i, shard)
                for i, shard in enumerate(shards, first)
            ]
            line.update(0, f"group {number + 1} of {len(records)}")
            if any(damaged) or not is_unchanged(job, number, record):
                documents = job.documents(
                    number, ReadingReport(job.skip_damaged)
                )
                shard_writer.repair_shards(
                    documents,
                    job.tokenizer,
                    {**fields, "shards": shards},
                    job.directory,
                    line,
                    first,
                )
                if next(documents, None) is not None:
                    raise shard_writer.other_input(
                        job.directory, "has more documents"
                    )
                record["parts"] = describe(job.groups[number])
            first = last
    write_records(job, records)


def _delete(directory):
    """Delete all that this module writes, the manifest and record first."""
    (directory / shard_format.MANIFEST).unlink(missing_ok=True)
    (directory / INPUTS).unlink(missing_ok=True)
    for file in directory.iterdir():
        if _is_shard_file(file):
            file.unlink()
        elif file.is_dir() and file.name.startswith("group-"):
            shutil.rmtree(file)
