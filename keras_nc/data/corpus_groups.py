"""The groups of a corpus: what each holds, and how one is written.

The parts of the input are divided into groups by their sizes alone, so the
shards of a group do not depend on which processes write them.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import shutil

from keras_nc.coding.archive import atomic_file
from keras_nc.data import shard_format
from keras_nc.data import shard_writer
from keras_nc.data.documents import ReadingReport
from keras_nc.data.documents import read_parts

#: A group is complete when its parts have this many stored bytes.
_GROUP_BYTES = 2**28
#: The file with the record of a corpus: its groups, and what was not read.
INPUTS = "inputs.json"
#: The file with the record of one group, which is written last.
_GROUP = "group.json"
REMEDY = "Use the same files and settings, another folder, or `overwrite=True`."


@dataclasses.dataclass(frozen=True)
class Job:
    """What the processes that write groups share."""

    groups: tuple  # tuples of `Part`
    tokenizer: object
    directory: pathlib.Path
    text_key: str
    skip_damaged: bool
    shard_tokens: int
    select: object  # function of a document, or `None`

    def folder(self, number):
        """Return the folder where a group is written."""
        return self.directory / f"group-{number:05d}"

    def documents(self, number, report):
        """Iterate over the documents of a group."""
        parts = self.groups[number]
        documents = read_parts(parts, self.text_key, report)
        if self.select is not None:
            documents = filter(None, map(self.select, documents))
        return documents

    def settings(self):
        """Return the settings that decide what is in the shards."""
        return {
            "text_key": self.text_key,
            "skip_damaged": self.skip_damaged,
            "shard_tokens": self.shard_tokens,
        }


def divide(parts):
    """Divide parts into groups, by their sizes alone."""
    group, size = [], 0
    for part in parts:
        group.append(part)
        size += _GROUP_BYTES if part.size is None else part.size
        if size >= _GROUP_BYTES:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def describe(group):
    """Return name, size and version of each part of a group, a list."""
    # Only the last part of a path is kept, because folders may move. Names and
    # order must stay the same.
    return [[os.path.basename(str(p)), p.size, p.version] for p in group]


def _write_json(path, content, sync=True):
    with atomic_file(path, sync) as file:
        file.write(json.dumps(content, indent=1).encode())


def write_records(job, records):
    """Write the record of a corpus; see `read_inputs`."""
    content = {"settings": job.settings(), "groups": records}
    _write_json(job.directory / INPUTS, content)


def read_inputs(directory):
    """Read the record of a corpus, or return `None` if there is none.

    Args:
        directory: folder of token shards.

    Returns:
        A dict with `settings` and `groups`. Each group has `parts`, a list of
        name, size and version of each. A complete group also has `documents`,
        `shards`, `empty` and `skipped`.
    """
    path = pathlib.Path(directory, INPUTS)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        content["settings"], content["groups"]  # a KeyError means damage
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"The record of a corpus must be as it was written. Received: "
            f"{path}, damaged ({error}). Fetch it again, or delete it: then "
            "all documents are compared."
        ) from error
    return content


def read_records(job):
    """Return the records of the groups; `None` if there are none.

    Raises:
        ValueError: if they are those of another job.
    """
    content = read_inputs(job.directory)
    if content is None:
        return None
    for name, value in job.settings().items():
        if content["settings"].get(name) != value:
            raise ValueError(
                f"{job.directory} holds shards with "
                f"{name}={content['settings'].get(name)!r}. Received: "
                f"{name}={value!r}. {REMEDY}"
            )
    found = [[name for name, *_ in g["parts"]] for g in content["groups"]]
    named = [[name for name, *_ in describe(group)] for group in job.groups]
    if found != named:
        raise ValueError(
            f"{job.directory} holds shards of other files. Received: "
            f"{sum(map(len, named)):,} files in {len(named):,} groups instead "
            f"of {sum(map(len, found)):,} in {len(found):,}, or other names. "
            f"{REMEDY}"
        )
    return content["groups"]


def is_unchanged(job, number, record):
    """Return whether names, sizes and versions of a group are as recorded."""
    described = json.loads(json.dumps(describe(job.groups[number])))
    return described == record["parts"]


def read_group(job, number):
    """Return the record of a group; `None` if it is not complete.

    A group whose files a power failure left empty is not complete.
    """
    folder = job.folder(number)
    try:
        record = json.loads((folder / _GROUP).read_bytes())
        if record["shards"]:
            shard_format.read_manifest(folder / shard_format.MANIFEST)
    except (OSError, ValueError):
        return None
    return record


def write_group(job, number, threads=1, progress=False):
    """Write the shards of one group, or continue; return its bytes of text."""
    folder = job.folder(number)
    _delete_if_damaged(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = ReadingReport(job.skip_damaged)
    documents = job.documents(number, report)
    first = next(documents, None)
    shards = None
    if first is not None:
        shards = shard_writer.write_documents(
            itertools.chain([first], documents),
            job.tokenizer,
            folder,
            shard_tokens=job.shard_tokens,
            progress=progress,
            threads=threads,
            # Do not wait for the disk: `read_group` and this function notice
            # what a power failure has damaged.
            sync=False,
        )
    record = {
        "parts": describe(job.groups[number]),
        "documents": shards.num_documents if shards else 0,
        "shards": len(shards.manifest["shards"]) if shards else 0,
        "empty": report.num_empty,
        "skipped": report.skipped,
    }
    _write_json(folder / _GROUP, record, sync=False)
    return shards.num_bytes if shards else 0


def _delete_if_damaged(folder):
    """Delete a group whose manifest a power failure has damaged."""
    for name in (shard_format.MANIFEST, shard_format.PROGRESS):
        if (folder / name).exists():
            try:
                shard_format.read_manifest(folder / name)
            except ValueError:
                shutil.rmtree(folder)
            return
