import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nc.data import cut_position
from keras_nc.data import take_bytes


@pytest.mark.parametrize(
    ("document", "limit", "position"),
    [
        (b"one\n\ntwo three\nfour", 6, 5),  # a blank line
        (b"one\r\n\r\ntwo three", 8, 7),
        (b"one two\nthree four", 10, 8),  # a line
        (b"one two three", 9, 8),  # a word
        (b"onetwothree", 9, 9),
        (b"short", 5, 5),
        (b"short", 99, 5),
        ("äöü".encode(), 3, 2),
        ("a漢字".encode(), 6, 4),
        ("a漢字".encode(), 7, 7),
        (b"\x80" * 9, 7, 7),  # not UTF-8
        (b"a b" + b"c" * 97, 100, 100),
        (b"a b" + b"c" * 97, 50, 50),  # the word ends too early
    ],
)
def test_where_a_document_is_cut(document, limit, position):
    assert cut_position(document, limit) == position


@given(st.text(min_size=1, max_size=60), st.integers(4, 70))
def test_no_character_is_cut(text, limit):
    document = text.encode("utf-8", "replace")
    position = cut_position(document, limit)
    assert 0 < position <= limit
    document[:position].decode()
    document[position:].decode()
    assert position == len(document) or position > limit // 2 - 4


@given(
    st.lists(st.binary(max_size=12), max_size=8),
    st.one_of(st.none(), st.integers(0, 40)),
)
def test_documents_up_to_so_many_bytes(documents, max_bytes):
    taken = list(take_bytes(iter(documents), max_bytes))
    assert all(taken)
    if max_bytes is None:
        assert taken == [document for document in documents if document]
        return
    total = sum(map(len, taken))
    assert total <= max_bytes
    *uncut, last = taken or [b""]
    remaining = iter(documents)
    assert all(document in remaining for document in uncut), "in their order"
    assert any(document.startswith(last) for document in documents or [b""])
    # For any documents, each text gives something.
    if max_bytes and any(documents):
        assert total >= min(sum(map(len, documents)), max_bytes) / 4


def test_numbers_of_bytes_of_numpy():
    assert list(take_bytes([b"x" * 200], np.uint8(100))) == [b"x" * 100]
