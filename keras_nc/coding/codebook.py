"""The codebook: all equal-info windows of a model in one table.

An equal-info window's code depends on the window's own bytes alone. So up to 16
bits, all windows fit a fixed table: the codebook. Encoding walks the table,
decoding looks codes up, and neither needs the model.
"""

import threading

import numpy as np

from keras_nc.coding.build import as_max_window_bytes
from keras_nc.coding.build import as_window_bits
from keras_nc.coding.build import build_content
from keras_nc.coding.codebook_file import WindowTable
from keras_nc.coding.codebook_file import check_fields
from keras_nc.coding.codebook_file import fields_of
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.codes import Prompt
from keras_nc.coding.codes import as_ids
from keras_nc.coding.codes import refuse_id
from keras_nc.coding.inputs import as_byte_array
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.trie import Trie
from keras_nc.coding.trie import WindowIndex


class Codebook(WindowTable):
    """A fixed table of windows: byte strings with a code of W bits each.

    A window's code is its id. Ids 0, 1 and 2 are special, `[3, 2^W)` stand for
    windows. A codebook is immutable and thread-safe. Codebooks with the same
    fingerprint are equal. Make one with `Codebook.build` or `Codebook.load`.

    Args:
        windows: dict from ids to windows (bytes). Ids are in lexicographic
            order of the windows, and every single byte is a window.
        window_bits: W, bits per code, 9 to 16.
        max_window_bytes: bytes that a window has at most, 1 to 255.
        allocation: how codes were given to windows: `"arithmetic"`,
            `"tunstall"`, or `"frequency"` for strings without a model.
        parse: how text is cut into windows, see `Codebook.build`.
        costs: the cost of each id's window in units of 2^-10 bits, uint16 of
            shape (2^W,); only for parses that weigh windows.

    Raises:
        ValueError: if the windows are not a codebook.

    Example:
    >>> text = b"she sells sea shells by the sea shore. " * 9
    >>> codebook = Codebook.build(text=text, window_bits=10)
    >>> ids = codebook.encode(b"the shore")
    >>> [codebook.token_bytes(i) for i in ids]
    [b'the', b' shore']
    >>> assert codebook.decode(ids) == b"the shore"
    """

    def __init__(
        self,
        windows,
        *,
        window_bits,
        max_window_bytes,
        allocation,
        parse="greedy",
        costs=None,
    ):
        fields = fields_of(
            windows,
            as_window_bits(window_bits),
            as_max_window_bytes(max_window_bytes),
            allocation,
            parse,
            costs,
        )
        check_fields(fields)
        self._set_fields(fields)

    def _set_fields(self, fields):
        super()._set_fields(fields)
        self._parse = PARSES[fields["parse"]]
        self._lazy_trie = None
        self._lazy_index = None
        self._lock = threading.Lock()

    @classmethod
    def build(
        cls,
        model=None,
        text=None,
        *,
        window_bits,
        units=None,
        allocation=None,
        parse=None,
        prune=True,
        price=None,
        rounds=None,
        model_tokens=1 << 14,
        max_window_bytes=64,
        progress=True,
    ):
        """Choose windows and compile them.

        The defaults are what we recommend: windows of words and phrases that a
        text needs most, `Codebook.build(text=text, window_bits=16)`. A model
        helps if there is little text. `Codebook.paper` gives the windows of the
        paper.

        Args:
            model: an `EntropyModel`. For words and phrases it may be `None`;
                else its most probable strings are candidates, too, and its
                probabilities are added to what the text counts.
            text: `str` or bytes, or a list of them; or, for words and phrases
                of a text that is larger than memory, a `WordText`. It may be
                `None` if there is a model and no option needs it.
            window_bits: W, bits per code, 9 to 16.
            units: what windows may be. `"phrases"`: strings inside one word,
                and runs of 2 to 5 words. `"words"`: only the former. `"any"`:
                all strings, by an entropy model. Defaults to `"phrases"`, and
                to `"any"` if `allocation` or `rounds` is given.
            allocation: for `units="any"`, how codes are given to windows.
                `"tunstall"` (the default) takes the most probable windows;
                `"arithmetic"` shares the codes of every window among its next
                bytes, as arithmetic coding does.
            parse: how text is cut into windows; see `coding.parses`. Defaults
                to `"likely_words"`, and to `"aligned"` for `units="any"`.
            prune: `"likelihood"` starts with four times as many windows and
                drops those whose absence costs the fewest bits; `"bytes"` drops
                those that save the fewest bytes; `False` does not prune. `True`
                is `"likelihood"`, or `"bytes"` for `units="any"`.
            price: bits that each window costs on top of its `-log2 p` when text
                is cut. A higher price gives more bytes per token and text that
                is a little harder to predict. Defaults to 2, and to 0 for
                `units="any"`.
            rounds: for `units="any"`, how often to build, encode the text, and
                refit the model to the window starts. Bytes after a window
                boundary are distributed differently from bytes at random
                places. Defaults to 1 for a model with `refit`, else to 0.
            model_tokens: for words and phrases, how many tokens of text the
                model counts for. More of them help if the text is less than
                1 MB and of the kind that the model learned from.
            max_window_bytes: bytes that a window has at most, 1 to 255.
            progress: bool, whether to show progress on terminals. Only words
                and phrases have any.

        Returns:
            A `Codebook`.

        Raises:
            TypeError: if an argument has the wrong type.
            ValueError: if an argument is out of range, if a model or a text is
                missing but needed, if the text has fewer different strings than
                there are windows, if `rounds` is positive and the model has no
                `refit`, or if the model does not give probabilities.
        """
        content = build_content(
            model,
            text,
            window_bits=window_bits,
            units=units,
            allocation=allocation,
            parse=parse,
            prune=prune,
            price=price,
            rounds=rounds,
            model_tokens=model_tokens,
            max_window_bytes=max_window_bytes,
            progress=progress,
        )
        return cls(**content)

    @classmethod
    def paper(cls, model, *, window_bits, max_window_bytes=64):
        """Compile the windows of the paper: greedy arithmetic coding.

        The integer rule is that of keras_nc, so any bytes round-trip (see
        `docs/exactness.md`). No text is needed.

        Args:
            model: an `EntropyModel`.
            window_bits: W, bits per code, 9 to 16.
            max_window_bytes: bytes that a window has at most, 1 to 255.

        Returns:
            A `Codebook`.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> model = UnigramModel.from_text(b"in the beginning was the word")
        >>> codebook = Codebook.paper(model, window_bits=12)
        >>> [codebook.token_bytes(i) for i in codebook.encode(b"the end")]
        [b'th', b'e ', b'en', b'd']
        """
        return cls.build(
            model,
            window_bits=window_bits,
            allocation="arithmetic",
            parse="greedy",
            prune=False,
            rounds=0,
            max_window_bytes=max_window_bytes,
        )

    def encode(self, data):
        """Cut bytes into windows.

        Args:
            data: `str` or bytes, L bytes.

        Returns:
            Ids of the windows, uint16 of shape (T,), T <= L.
        """
        array = as_byte_array(data)
        offsets = np.array([0, array.size], np.int64)
        return self._encode(array, offsets)[0]

    def encode_batch(self, documents):
        """Cut each document into windows; none crosses a boundary.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            Ids of all windows, uint16 of shape (T,), and offsets, int64 of
            shape (documents + 1,): document i has the ids
            `[offsets[i], offsets[i + 1])`.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=9)
        >>> ids, offsets = codebook.encode_batch([b"ab", b"", b"c"])
        >>> ids.tolist(), offsets.tolist()
        ([197, 199, 201], [0, 2, 2, 3])
        """
        return self._encode(*join_documents(documents))

    def encode_part(self, data):
        r"""Encode the prefix whose windows later bytes cannot change.

        To encode a text part by part, prepend the bytes left over from one part
        to the next part. Encode the last part with `encode`.

        Args:
            data: `str` or bytes, from the start of a window.

        Returns:
            Ids, uint16 of shape (T,), and how many bytes they stand for.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=10)
        >>> ids, committed = codebook.encode_part(b"a\0a")
        >>> codebook.decode(ids), committed
        (b'a\x00', 2)
        """
        array = as_byte_array(data)
        ids, _, _ = self._commit(array)
        ends = np.cumsum(self._token_lengths[ids], dtype=np.int64)
        count = len(ids)
        # The rest alone must give the same windows as it does here.
        while count and not self._parse.may_divide(array, ends[count - 1]):
            count -= 1
        return ids[:count], int(ends[count - 1]) if count else 0

    def split_prompt(self, data):
        r"""Cut a text that is to be continued.

        Args:
            data: `str` or bytes.

        Returns:
            A `Prompt`.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=10)
        >>> prompt = codebook.split_prompt(b"a\0aa")
        >>> codebook.decode(prompt.ids), prompt.remainder
        (b'a\x00a', b'a')
        >>> prompt.next_codes, codebook.prefix_range(b"a")
        ([(391, 395, [])], (391, 395))
        """
        array = as_byte_array(data)
        ids, committed, marks = self._commit(array)
        remainder = array[committed:].tobytes()
        if marks is not None:
            marks = marks[committed:]
        next_codes = self._index.find_next_codes(self._parse, remainder, marks)
        return Prompt(ids, remainder, next_codes)

    def _encode(self, text, offsets):
        costs = self._fields["costs"]
        return self._trie.encode(text, offsets, self._parse, costs)

    def _commit(self, array):
        """Return ids that more text cannot change, their bytes, and marks."""
        marks = self._parse.mark(array, np.array([0, array.size], np.int64))
        ids, committed = self._trie.encode_part(
            array, self._parse, self._fields["costs"], marks
        )
        ends = np.cumsum(self._token_lengths[ids], dtype=np.int64)
        count = np.searchsorted(ends, committed, side="right")
        return ids[:count], committed, marks

    def decode(self, ids, skip_special=False):
        """Return the bytes that ids stand for.

        Args:
            ids: integers of any type and shape (T,).
            skip_special: whether to drop special ids, or to refuse them.

        Returns:
            bytes.

        Raises:
            ValueError: if an id stands for no window.
        """
        ids = as_ids(ids, self.window_bits)
        kept = ids
        if skip_special:
            special = ids < NUM_SPECIAL
            if special.any():
                kept = ids[~special]
        text, lacking = self._trie.decode(kept)
        if lacking >= 0:
            if kept is not ids:
                lacking = int(np.flatnonzero(~special)[lacking])
            refuse_id(int(ids[lacking]), self.window_bits, lacking)
        return text

    def prefix_range(self, prefix):
        r"""Return the ids of all windows that begin with some bytes.

        An id without a window belongs to the window before it.

        Args:
            prefix: `str` or bytes.

        Returns:
            `(low, high)`, a half-open interval of ids. An empty prefix gives
            all ids. A prefix that no window begins with gives `(0, 0)`.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=10)
        >>> low, high = codebook.prefix_range(b"a")
        >>> [codebook.token_bytes(i) for i in range(low, high)]
        [b'a', b'a\x00', b'a\x01', b'a\x02']
        """
        return self._index.prefix_range(as_bytes(prefix))

    def find(self, window):
        """Return the id of a window, or `None` if the bytes are no window."""
        return self._index.find(as_bytes(window))

    @property
    def _trie(self):
        with self._lock:
            if self._lazy_trie is None:
                fields = self._fields
                self._lazy_trie = Trie(fields["lengths"], fields["bytes"])
        return self._lazy_trie

    @property
    def _index(self):
        if self._lazy_index is None:
            fields = self._fields
            self._lazy_index = WindowIndex(fields["lengths"], fields["bytes"])
        return self._lazy_index
