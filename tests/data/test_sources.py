"""Inputs by name: real files of every format, read by the real packages."""

import pytest

from keras_nc.data import ReadingReport
from keras_nc.data import find_files
from keras_nc.data import read_documents
from keras_nc.data import sources
from keras_nc.data.documents import find_parts

TEXTS = [f"document {i}: caf\u00e9\n" for i in range(40)]
DOCUMENTS = [text.encode() for text in TEXTS]


def write_parquet(path, texts=TEXTS, **settings):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"url": ["u"] * len(texts), "text": texts})
    parquet.write_table(table, path, **settings)


def write_array_record(path, texts):
    module = pytest.importorskip("array_record.python.array_record_module")
    writer = module.ArrayRecordWriter(str(path), "group_size:4")
    for text in texts:
        writer.write(text)
    writer.close()


def test_parquet(tmp_path):
    write_parquet(tmp_path / "b.parquet", row_group_size=7)
    (tmp_path / "a.txt").write_bytes(b"first")
    assert list(read_documents(f"{tmp_path}/*")) == [b"first", *DOCUMENTS]
    with pytest.raises(ValueError, match=r"'body'.*\['text', 'url'\]"):
        list(read_documents(tmp_path / "b.parquet", "body"))


def test_parquet_with_damage(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, ["one", None, "", "four"], compression="zstd")
    with pytest.raises(ValueError, match=r"record 2: .* string\. .*NoneType"):
        list(read_documents(path))
    report = ReadingReport(skip_damaged=True)
    assert list(read_documents(path, report=report)) == [b"one", b"four"]
    assert (report.num_empty, len(report.skipped)) == (1, 1)
    content = path.read_bytes()
    for damaged in (content[:-20], b"text", b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="parquet is damaged"):
            list(read_documents(path))
        report = ReadingReport(skip_damaged=True)
        assert list(read_documents(path, report=report)) == []
        assert "a.parquet is damaged" in report.skipped[0]


def varint(size):
    out = b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


def field(number, content):
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def example(**features):
    """Return a `tf.train.Example`, as its definition says."""
    entries = b""
    for name, value in features.items():
        value_list = field(1, field(1, value))  # Feature.bytes_list.value
        entries += field(1, field(1, name.encode()) + field(2, value_list))
    return field(1, entries)


def test_array_record(tmp_path):
    path = tmp_path / "c.array_record-00000-of-00001"
    write_array_record(path, DOCUMENTS)
    assert list(read_documents(path)) == DOCUMENTS
    texts = [*DOCUMENTS, b"long " * 99]
    records = [example(url=b"u", text=text) for text in texts]
    write_array_record(tmp_path / "d.arrayrecord", records)
    assert list(read_documents(tmp_path / "d.arrayrecord")) == texts
    with pytest.raises(ValueError, match=r"'body'.*\['text', 'url'\]"):
        list(read_documents(tmp_path / "d.arrayrecord", "body"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        list(read_documents(path))


def test_examples_are_what_tensorflow_writes():
    tensorflow = pytest.importorskip("tensorflow")

    def feature(**value):
        return tensorflow.train.Feature(**value)

    values = tensorflow.train.BytesList(value=[b"x" * 300])
    numbers = tensorflow.train.Int64List(value=[1, 2])
    message = tensorflow.train.Example(
        features=tensorflow.train.Features(
            feature={
                "text": feature(bytes_list=values),
                "n": feature(int64_list=numbers),
            }
        )
    ).SerializeToString()
    assert sources.read_example(message) == {"text": b"x" * 300, "n": None}
    for cut in range(1, len(message), 37):
        assert sources.read_example(message[:cut]) is None


def test_urls():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/corpus/b.jsonl", b'{"text": "two"}\n{"text": "three"}')
    system.pipe("/corpus/a.txt", b"one")
    assert find_files("memory://corpus/*.txt") == ["memory:///corpus/a.txt"]
    names = ["memory://corpus/*", "memory:///corpus/a.txt"]
    assert list(read_documents(names)) == [b"one", b"two", b"three"]
    part, _ = find_parts("memory://corpus/*")
    assert part.size == 3
    system.pipe("/corpus/a.txt", b"two")
    changed, _ = find_parts("memory://corpus/*")
    assert changed.version != part.version
    with pytest.raises(ValueError, match="matches none"):
        find_files("memory://corpus/*.zst")


def test_urls_of_compressed_files_and_tables(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    import bz2

    system = fsspec.filesystem("memory")
    lines = b"".join(b'{"text": "%d"}\n' % i for i in range(9))
    system.pipe("/packed/a.jsonl.bz2", bz2.compress(lines))
    write_array_record(tmp_path / "b.array_record", DOCUMENTS)
    system.put(str(tmp_path / "b.array_record"), "/packed/b.array_record")
    expected = [b"%d" % i for i in range(9)] + DOCUMENTS
    assert list(read_documents("memory://packed/*")) == expected
    write_parquet(tmp_path / "c.parquet")
    system.put(str(tmp_path / "c.parquet"), "/packed/c.parquet")
    assert list(read_documents("memory://packed/*.parquet")) == DOCUMENTS


def test_hugging_face(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for number in range(3):
        texts = TEXTS[number * 10 : (number + 1) * 10]
        name = f"validation-{number:05d}-of-00003.parquet"
        write_parquet(tmp_path / name, texts)
    name = f"hf:{tmp_path}#validation"
    assert list(read_documents(name)) == DOCUMENTS[:30]
    parts = find_parts(name)
    assert [part.shard for part in parts] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"'body'.*\['text', 'url'\]"):
        list(read_documents(name, "body"))
    with pytest.raises(ValueError, match="must be that of a data set"):
        list(read_documents(f"hf:{tmp_path}/missing"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tfds(tmp_path, file_format):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")  # TFDS forgets to require it

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "some_texts"
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            text = tfds.features.Text()
            features = tfds.features.FeaturesDict({"url": text, "text": text})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _):
            return {"validation": self._generate_examples()}

        def _generate_examples(self):
            for i, text in enumerate(TEXTS):
                yield i, {"text": text, "url": "u"}

    builder = Builder(data_dir=tmp_path, file_format=file_format)
    config = tfds.download.DownloadConfig(num_shards=3)
    builder.download_and_prepare(download_config=config)
    name = f"tfds:{tmp_path}/some_texts/1.0.0#validation"
    found = list(read_documents(name))
    assert sorted(found) == sorted(DOCUMENTS)  # TFDS shuffles when it writes
    assert list(read_documents(name)) == found
    assert len(find_parts(name)) == 3
    with pytest.raises(ValueError, match=r"the split.*\['validation'\]"):
        read_documents(name.partition("#")[0])
    with pytest.raises(ValueError, match=r"'body'.*\['text', 'url'\]"):
        list(read_documents(name, "body"))
    with pytest.raises(ValueError, match="which TFDS does not know"):
        read_documents("tfds:no_such_data_set_of_any_name")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("gs://bucket/a.txt", "fsspec", "remote"),
        ("hf:allenai/c4", "datasets", "huggingface"),
        ("tfds:c4/en", "tensorflow_datasets", "tfds"),
        ("a.parquet", "pyarrow", "parquet"),
        ("a.array_record", "array_record", "arrayrecord"),
    ],
)
def test_missing_packages_are_named(
    name, package, extra, tmp_path, monkeypatch
):
    import sys

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "a.array_record").write_bytes(b"")
    for module in [package, *sys.modules]:
        if module.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"'{package}'.*\[{extra}\]"):
        list(read_documents(name))


def test_one_file_by_two_paths_is_read_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"one")
    names = ["a.txt", "./a.txt", str(tmp_path / "a.txt"), "*.txt"]
    assert list(read_documents(names)) == [b"one"]
