"""Find what an input names, files, URLs and data sets; and read records.

A name is a path, a pattern, a URL of fsspec such as `gs://bucket/*.jsonl.zst`,
`tfds:NAME` or `hf:NAME`. The name of a data set may have a split after `#`, by
default `train`: `tfds:c4/en:3.1.0#validation`, `hf:allenai/c4:en#train`.

Records are those of TFDS, Hugging Face, Parquet and ArrayRecord. The packages
that read them are optional. They are imported where they are used.
"""

import dataclasses
import glob
import os
import re

from keras_nc.data.files import file_system
from keras_nc.data.files import is_url
from keras_nc.data.files import local_copy
from keras_nc.data.files import open_binary
from keras_nc.imports import need

#: Prefixes of the names of data sets, and what comes before a split.
_TFDS, _HUGGING_FACE = "tfds:", "hf:"
_SPLIT = "#"
#: The names of files of records.
_PARQUET = re.compile(r"\.(parquet|pq)$", re.IGNORECASE)
_ARRAY_RECORD = re.compile(r"\.array_?record(-\d+-of-\d+)?$", re.IGNORECASE)
#: Rows and records that are decoded at a time.
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the input that can be read by itself.

    Attributes:
        name: str, a path, a URL, or the name of a data set with its split.
        shard: int, which shard of the data set, or `None` for a file.
        num_shards: int, how many the data set has, or `None` for a file.
        size: int, stored bytes, or `None` if that is not known.
        version: str that differs if a file was written again, or `None` if
            that is not known.
    """

    name: str
    shard: int | None = None
    num_shards: int | None = None
    size: int | None = None
    version: str | None = None

    def __str__(self):
        if self.shard is None:
            return self.name
        return f"{self.name}, shard {self.shard}"


def is_dataset(name):
    """Return whether a name is that of a data set, not of a file."""
    return name.startswith((_TFDS, _HUGGING_FACE))


def split_name(name):
    """Split the name of a data set.

    Args:
        name: str.

    Returns:
        Three str: the kind, `"tfds"` or `"hf"`; the name without kind and
        split; and the split.

    Example:
    >>> split_name("tfds:c4/en:3.1.0#validation")
    ('tfds', 'c4/en:3.1.0', 'validation')
    """
    kind, _, rest = name.partition(":")
    rest, _, split = rest.partition(_SPLIT)
    return kind, rest, split or "train"


def find_files(patterns):
    """List the files that patterns match, and the data sets that are named.

    Args:
        patterns: a path, pattern, URL or name, or a sequence of them; `**`
            stands for any number of folders.

    Returns:
        A list of str: each file and data set once, in the order of the names.

    Raises:
        ValueError: if a pattern matches no file, or if there is no pattern.
        ImportError: if a URL needs a package that is not installed.
    """
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found = {}
    for pattern in map(os.fspath, patterns):
        matches = _match(pattern)
        if not matches:
            raise ValueError(
                "Each pattern must match at least one file. Received: "
                f"{pattern!r}, which matches none. For all files below a "
                "folder, use 'folder/**/*'."
            )
        for match in matches:
            # `a` and `./a` are one file.
            is_path = not is_dataset(match) and not is_url(match)
            found.setdefault(
                os.path.abspath(match) if is_path else match, match
            )
    if not found:
        raise ValueError(
            "`patterns` must name at least one file. Received: an empty "
            "sequence. Pass a path or a glob pattern."
        )
    return sorted(found.values())


def _match(pattern):
    """List the files of one pattern."""
    # A path that exists is not a pattern, even if it has brackets.
    if os.path.isfile(pattern):
        return [pattern]
    if is_dataset(pattern):
        return [pattern]
    if is_url(pattern):
        system, path = file_system(pattern)
        if system.isfile(path):
            return [pattern]
        matches = system.glob(path, detail=True).items()
        return [
            system.unstrip_protocol(name)
            for name, info in matches
            if info["type"] == "file"
        ]
    return list(filter(os.path.isfile, glob.glob(pattern, recursive=True)))


def describe(name):
    """Return the size and the version of a file; see `Part`."""
    if not is_url(name):
        status = os.stat(name)
        return status.st_size, str(status.st_mtime_ns)
    system, path = file_system(name)
    return system.size(path), system.ukey(path)


class RecordError(ValueError):
    """A file of records that is damaged."""


def holds_records(part):
    """Return whether a part holds records, not text or JSON lines."""
    return (
        is_dataset(part.name)
        or _PARQUET.search(part.name) is not None
        or _ARRAY_RECORD.search(part.name) is not None
    )


def read_records(part, text_key):
    """Iterate over the texts of a part.

    Args:
        part: a `Part` that `holds_records`.
        text_key: str, the column or feature of the text.

    Yields:
        A pair: a str that says where the record is, and its value, which is
        `str`, bytes, or another type that is no text.

    Raises:
        ValueError: if the part is damaged, or has no such column.
        ImportError: if the package that reads it is not installed.
    """
    if is_dataset(part.name):
        kind, *_ = split_name(part.name)
        read = {"tfds": _read_tfds, "hf": _read_hugging_face}[kind]
    elif _PARQUET.search(part.name):
        read = _read_parquet
    else:
        read = _read_array_record
    for number, value in enumerate(read(part, text_key), 1):
        yield f"{part}, record {number}", value


def _missing(where, text_key, names):
    listed = f"{sorted(names)[:10]}{' and more' if len(names) > 10 else ''}"
    return ValueError(
        f"{where}: records must have the key {text_key!r}. Received: records "
        f"with {listed}. Set `text_key` to the key of the text."
    )


def _damaged(name, error):
    reason = " ".join(str(error).split())
    return RecordError(
        f"A file must be as it was written. Received: {name} is damaged: "
        f"{reason}. Fetch or make the file again."
    )


def _read_parquet(part, text_key):
    parquet = need(
        "pyarrow.parquet", "parquet", f"The Parquet file {part.name!r}"
    )
    import pyarrow

    with open_binary(part.name) as stream:
        try:
            table = parquet.ParquetFile(stream, page_checksum_verification=True)
            names = table.schema_arrow.names
            if text_key not in names:
                raise _missing(part.name, text_key, names)
            for batch in table.iter_batches(_BATCH, columns=[text_key]):
                yield from batch.column(0).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(part.name, error) from error


def _read_array_record(part, text_key):
    module = need(
        "array_record.python.array_record_module",
        "arrayrecord",
        f"The ArrayRecord file {part.name!r}",
    )
    with local_copy(part.name) as path:
        try:
            reader = module.ArrayRecordReader(os.fspath(path))
            if not reader.ok():  # a damaged file seems to have no records
                raise RuntimeError("it has no index of records")
            count = reader.num_records()
            for start in range(0, count, _BATCH):
                stop = min(start + _BATCH, count)
                for record in reader.read(start, stop):
                    features = read_example(record)
                    if features is None:
                        yield record
                    elif text_key in features:
                        yield features[text_key]
                    else:
                        raise _missing(part.name, text_key, list(features))
        except (RuntimeError, IndexError) as error:
            raise _damaged(part.name, error) from error


def read_example(record):
    """Read a `tf.train.Example` without TensorFlow.

    Args:
        record: bytes.

    Returns:
        A dict from the names of features to their bytes, or to `None` if a
        feature does not hold exactly one bytes value. `None` instead of a dict
        if the record is no `tf.train.Example`.

    Example:
    >>> read_example(b"just text") is None
    True
    """
    try:
        features = {}
        (example,) = _fields(record)  # an Example has one field, `features`
        for entry in _fields(example):
            name, feature = _fields(entry)
            values = [_fields(kind) for kind in _fields(feature)]
            is_bytes = feature[:1] == b"\x0a" and len(values) == 1
            is_single = is_bytes and len(values[0]) == 1
            features[name.decode()] = values[0][0] if is_single else None
        return features
    except (ValueError, IndexError):
        return None


def _fields(message):
    """Split a protocol buffer into its fields, which are all bytes here."""
    fields, position = [], 0
    while position < len(message):
        if message[position] & 7 != 2:
            raise ValueError("a field of another kind")
        size, shift, position = 0, 0, position + 1
        while True:
            byte = message[position]
            size |= (byte & 0x7F) << shift
            shift, position = shift + 7, position + 1
            if byte < 0x80:
                break
        if position + size > len(message):
            raise ValueError("a field that is cut short")
        fields.append(message[position : position + size])
        position += size
    return fields


def num_shards(name):
    """Return the number of shards of a data set by name, an int."""
    kind, _, split = split_name(name)
    if kind == "hf":
        return max(1, _hugging_face(name).num_shards)
    splits = _tfds_builder(name)[1].info.splits
    # A slice such as `train[:10%]` is read as one part.
    return splits[split].num_shards if split in splits else 1


def _tfds_builder(name):
    """Return the module and the builder of a prepared TFDS data set."""
    tfds = need("tensorflow_datasets", "tfds", f"{name!r}")
    _, rest, split = split_name(name)
    if os.path.isdir(rest):
        builder = tfds.builder_from_directory(rest)
    else:
        try:
            builder = tfds.builder(rest)
        except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
            raise ValueError(
                "A name of TFDS must be that of a data set. Received: "
                f"{name!r}, which TFDS does not know. Check the name, the "
                "version and TFDS_DATA_DIR, or name the folder of a prepared "
                "data set."
            ) from error
    if not builder.is_prepared():
        raise ValueError(
            "A data set of TFDS must have been prepared. Received: "
            f"{name!r}, which is not in {builder.data_path}. Prepare it with "
            f"`tfds build {rest}`, or set TFDS_DATA_DIR to where it is."
        )
    if split.partition("[")[0] not in builder.info.splits:
        raise ValueError(
            "A data set must have the split. Received: "
            f"{name!r}, whose splits are {sorted(builder.info.splits)}. Put "
            "one of them after '#'."
        )
    return tfds, builder


def _read_tfds(part, text_key):
    tfds, builder = _tfds_builder(part.name)
    _, _, split = split_name(part.name)
    if text_key not in builder.info.features:
        raise _missing(part.name, text_key, list(builder.info.features))
    if part.num_shards > 1:
        split = tfds.core.ReadInstruction(
            split, from_=part.shard, to=part.shard + 1, unit="shard"
        )
    if builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
        examples = builder.as_data_source(split=split)
    else:
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({text_key: True}),
            # One file at a time, so that the order is that of the files.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        ).as_numpy_iterator()
    for example in examples:
        yield example[text_key]


def _hugging_face(name):
    datasets = need("datasets", "huggingface", f"{name!r}")
    _, rest, split = split_name(name)
    config = None
    if not os.path.exists(rest):
        rest, _, config = rest.partition(":")
    try:
        return datasets.load_dataset(
            rest, config or None, split=split, streaming=True
        )
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError) as e:
        raise ValueError(
            "A name of Hugging Face must be that of a data set or a folder. "
            f"Received: {name!r} ({' '.join(str(e).split())}). Check the "
            "name, and that you are logged in if it needs that."
        ) from e


def _read_hugging_face(part, text_key):
    dataset = _hugging_face(part.name)
    if part.num_shards > 1:
        dataset = dataset.shard(part.num_shards, part.shard)
    names = dataset.column_names
    if names is not None and text_key not in names:
        raise _missing(part.name, text_key, names)
    for row in dataset:
        if text_key not in row:
            raise _missing(part.name, text_key, list(row))
        yield row[text_key]
