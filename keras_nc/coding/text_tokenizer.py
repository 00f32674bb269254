"""A tokenizer that needs no Keras: text to ids and back, exactly."""

import numpy as np

from keras_nc import presets
from keras_nc.coding.codebook import Codebook
from keras_nc.coding.codes import END_ID
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.codes import PAD_ID
from keras_nc.coding.codes import START_ID
from keras_nc.coding.codes import Prompt
from keras_nc.coding.codes import SpecialTokens
from keras_nc.coding.codes import locate
from keras_nc.coding.codes import refuse_id
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_flag
from keras_nc.coding.inputs import as_id
from keras_nc.coding.tokenizer_files import count_different_ids
from keras_nc.coding.tokenizer_files import read_preset
from keras_nc.coding.tokenizer_files import write_hugging_face
from keras_nc.coding.tokenizer_files import write_preset


class TextTokenizer:
    """Turn text into the ids of a codebook's windows and back, without Keras.

    Ids 0, 1 and 2 are pad, start and end. `[3, 2^W)` are the windows of the
    codebook. Special tokens of your own have the ids from 2^W on, in the order
    of the list. A text that holds one gives its id only with
    `parse_special=True`, so that users cannot forge them.

    `keras_nc.tokenizers.EqualInfoTokenizer` is the Keras layer with the same
    ids. Each reads what the other saved. Tokenizers are immutable.

    Args:
        codebook: A `Codebook`.
        special_tokens: A list of different, non-empty `str`.
        parse_special: bool. Whether special tokens that a text holds become
            their ids. Otherwise they are text like any other. Calls can
            override it.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a special token is empty or occurs twice.

    Example:
    >>> text = "she sells sea shells by the sea shore. " * 9
    >>> codebook = Codebook.build(text=text, window_bits=10)
    >>> tokenizer = TextTokenizer(codebook, special_tokens=["<|user|>"])
    >>> ids = tokenizer.encode("<|user|>the shore", parse_special=True)
    >>> [tokenizer.id_to_token(i) for i in ids]
    [b'<|user|>', b'the', b' shore']
    >>> tokenizer.decode(ids), tokenizer.decode(ids, skip_special=True)
    ('<|user|>the shore', 'the shore')
    """

    #: As in the shards that `keras_nc.data` writes.
    scheme_name = "equal_info"
    pad_token_id = PAD_ID
    start_token_id = START_ID
    end_token_id = END_ID

    def __init__(self, codebook, special_tokens=(), parse_special=False):
        if not isinstance(codebook, Codebook):
            raise TypeError(
                "`codebook` must be a `keras_nc.coding.Codebook`. Received: "
                f"{type(codebook).__name__}. Load a file with "
                "`Codebook.load(path)`."
            )
        self.codebook = codebook
        self.parse_special = as_flag("parse_special", parse_special)
        self._special = SpecialTokens(
            special_tokens, first_id=1 << codebook.window_bits
        )
        #: Number of bytes of every id, int32 of shape (V,).
        self.token_lengths = np.concatenate(
            [codebook.token_lengths, self._special.lengths]
        )
        self.token_lengths.setflags(write=False)

    # === Vocabulary ===

    @property
    def special_tokens(self):
        """The special tokens in the order of their ids, a tuple of `str`."""
        return self._special.names

    def vocabulary_size(self):
        """Return the number of ids, `V`, all special ids included."""
        return len(self.token_lengths)

    @property
    def fingerprint(self):
        """Tokenizers that give the same ids have the same one, a str."""
        window_bits = self.codebook.window_bits
        fingerprint = f"{self.codebook.fingerprint}-{window_bits}"
        if self._special:
            fingerprint += f"-{self._special.digest}"
            fingerprint += "-parsed" * self.parse_special
        return fingerprint

    def get_vocabulary(self):
        """Return the tokens of all ids.

        Returns:
            A list of `V` bytes, empty for ids that stand for none: pad, start
            and end, and codes without a window.
        """
        windows = [
            self.codebook.token_bytes(i) if length else b""
            for i, length in enumerate(self.codebook.token_lengths)
        ]
        return windows + self._special.texts

    def id_to_token(self, id):
        """Return the token of an id.

        Args:
            id: int.

        Returns:
            bytes. Tokens are bytes, because many hold parts of characters.

        Raises:
            ValueError: If the id stands for no bytes.
        """
        id = as_id(id)
        if not 0 <= id < self.vocabulary_size():
            self._refuse_range(id)
        if id >= self._special.first_id:
            return self._special.texts[id - self._special.first_id]
        return self.codebook.token_bytes(id)

    def token_to_id(self, token):
        """Return the id of a token.

        Args:
            token: `str` or bytes.

        Returns:
            int. For bytes that are a special token and a window, that of the
            special token.

        Raises:
            ValueError: If no id stands for these bytes alone.
        """
        token = as_bytes(token)
        found = self._special.find(token)
        if found is None:
            found = self.codebook.find(token)
        if found is None:
            raise ValueError(
                "A token must be in the vocabulary. Received: "
                f"{token!r}. Encode it: it may be several tokens."
            )
        return int(found)

    # === Encoding ===

    def encode(self, text, parse_special=None, return_offsets=False):
        """Encode one text.

        Args:
            text: `str` or bytes.
            parse_special: bool. See the class. `None` for the tokenizer's own.
            return_offsets: bool. Whether to return an `Encoding`, which says
                where in the text each id is.

        Returns:
            int32 of shape (T,), or an `Encoding`.

        Raises:
            TypeError: If `text` is not one text.

        Example:
        >>> from keras_nc.entropy_models import UnigramModel
        >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=9)
        >>> tokenizer = TextTokenizer(codebook)
        >>> found = tokenizer.encode("\u00e9a", return_offsets=True)
        >>> found.byte_offsets.tolist(), found.character_offsets.tolist()
        ([[0, 1], [1, 2], [2, 3]], [[0, 1], [0, 1], [1, 2]])
        """
        text = as_bytes(text)
        ids, _ = self.encode_batch([text], parse_special)
        if not return_offsets:
            return ids
        return locate(ids, self.token_lengths[ids], text)

    def encode_batch(self, documents, parse_special=None):
        """Encode each document by itself.

        Args:
            documents: `str` or bytes, or a list of them.
            parse_special: bool, or `None`. See `encode`.

        Returns:
            A pair: the ids of all documents, int32 of shape (T,), and offsets,
            int64 of shape (documents + 1,). Document i has the ids
            `[offsets[i], offsets[i + 1])`.
        """
        if not self._parses(parse_special):
            ids, offsets = self.codebook.encode_batch(documents)
            return ids.astype(np.int32), offsets
        rows = [self._special.split(text) for text in as_documents(documents)]
        texts = [part for row in rows for part in row[::2]]
        special = [
            self._special.find(part) for row in rows for part in row[1::2]
        ]
        ids, offsets = self.codebook.encode_batch(texts)
        counts = np.array([len(row) // 2 for row in rows], np.int64)
        last = np.cumsum(counts + 1) - 1  # the last text of each document
        followed = np.delete(np.arange(len(texts)), last)
        ids = np.insert(ids.astype(np.int32), offsets[followed + 1], special)
        ends = offsets[last + 1] + np.cumsum(counts)
        return ids, np.concatenate([np.zeros(1, np.int64), ends])

    def _parses(self, parse_special):
        """Return whether to look for special tokens in a text."""
        if parse_special is None:
            parse_special = self.parse_special
        return bool(self._special) and as_flag("parse_special", parse_special)

    def split_prompt(self, text, parse_special=None):
        """Cut a text that is to be continued.

        Args:
            text: `str` or bytes.
            parse_special: bool, or `None`. See `encode`. The beginning of a
                special token at the end of the text is text.

        Returns:
            A `Prompt`.
        """
        text = as_bytes(text)
        last = text
        if self._parses(parse_special):
            last = self._special.split(text)[-1]
        before = self.encode(text[: len(text) - len(last)], parse_special)
        prompt = self.codebook.split_prompt(last)
        ids = np.concatenate([before, prompt.ids.astype(np.int32)])
        return Prompt(ids, prompt.remainder, prompt.next_codes)

    # === Decoding ===

    def decode(self, ids, skip_special=False, errors="replace"):
        """Return the text that ids stand for.

        Args:
            ids: Integers of shape (T,).
            skip_special: bool. See `decode_bytes`.
            errors: How `bytes.decode` treats invalid UTF-8.

        Returns:
            str.

        Raises:
            ValueError: See `decode_bytes`.
        """
        return self.decode_bytes(ids, skip_special).decode(errors=errors)

    def decode_bytes(self, ids, skip_special=False):
        """Return the bytes that ids stand for.

        Args:
            ids: Integers of shape (T,).
            skip_special: bool. Whether to drop pad, start and end ids and the
                special tokens. Otherwise pad, start and end are an error, and
                special tokens are written out.

        Returns:
            bytes.

        Raises:
            ValueError: If an id is out of range or stands for no bytes.
        """
        ids = np.asarray(ids)
        if not self._special or ids.dtype.kind not in "iu" or ids.ndim != 1:
            return self.codebook.decode(ids, skip_special)
        outside = (ids < 0) | (ids >= self.vocabulary_size())
        if outside.any():
            at = int(np.argmax(outside))
            self._refuse_range(int(ids[at]), f" at position {at}")
        own = ids >= self._special.first_id
        lacking = self.token_lengths[ids] == 0
        if skip_special:
            lacking &= ids >= NUM_SPECIAL
        if lacking.any():
            at = int(np.argmax(lacking))
            refuse_id(int(ids[at]), self.codebook.window_bits, at)
        if skip_special:
            return self.codebook.decode(ids[~own], True)
        parts = []
        start = 0
        for at in [*np.flatnonzero(own).tolist(), len(ids)]:
            parts.append(self.codebook.decode(ids[start:at]))
            if at < len(ids):
                parts.append(self.id_to_token(ids[at]))
            start = at + 1
        return b"".join(parts)

    def _refuse_range(self, id, where=""):
        raise ValueError(
            f"An id must be from 0 to {self.vocabulary_size() - 1}. Received: "
            f"id {id}{where}. Use the tokenizer that encoded the text."
        )

    # === Files ===

    def save(self, folder):
        """Write the tokenizer to a folder.

        The folder is a preset of keras_nc: `EqualInfoTokenizer.from_preset`
        reads it, too.

        Args:
            folder: Where the files go. It is created if it does not exist.
        """
        write_preset(folder, self)

    @classmethod
    def load(cls, folder):
        """Read a tokenizer from a folder.

        Args:
            folder: A folder that `save` or `EqualInfoTokenizer.save_to_preset`
                wrote, or the preset of a model.

        Returns:
            A `TextTokenizer`.

        Raises:
            ValueError: If the folder does not hold such a tokenizer.
        """
        return read_preset(folder, cls)

    @classmethod
    def from_preset(cls, preset):
        """Load the tokenizer of a preset, built-in or not.

        Args:
            preset: The name of a built-in preset, or a folder; see `load`.

        Returns:
            A `TextTokenizer`.

        Raises:
            ValueError: If there is no such tokenizer.

        Example:
        >>> tokenizer = TextTokenizer.from_preset("equal_info_12bit_en")
        >>> [tokenizer.id_to_token(i) for i in tokenizer.encode("It is the")]
        [b'It is', b' the']
        """
        return cls.load(presets.resolve(preset))

    def to_hugging_face(self, folder, parse=None, text=None):
        """Write the tokenizer as files of Hugging Face.

        `tokenizers.Tokenizer.from_file(folder / "tokenizer.json")` and
        `transformers.AutoTokenizer.from_pretrained(folder)` read them. The
        result is a Unigram model over bytes: it gives the same ids for any
        `str`, and the text comes back. Hugging Face cannot take bytes that are
        not UTF-8, and always takes special tokens in a text for their ids, as
        `encode(text, parse_special=True)` does.

        A Unigram model takes the most probable segmentation, so the codebook
        must have the parse `"likely"`.

        Args:
            folder: Where the files go. It is created if it does not exist.
            parse: `"likely"`, to write the windows of a codebook with another
                weighted parse. Some ids then differ.
            text: `str` or bytes, or a list of them. With it, count the ids that
                differ in this text because of `parse`.

        Returns:
            `None`, or with `text` a pair of ints: the ids of the text that
            differ from those of this tokenizer, and all ids.

        Raises:
            ValueError: If Hugging Face cannot express the tokenizer, or the
                folder holds a tokenizer of keras_nc.
        """
        written = write_hugging_face(
            folder, self.codebook, self.special_tokens, parse
        )
        if text is None:
            return None
        return count_different_ids(self.codebook, written, text)

    def __repr__(self):
        return f"TextTokenizer({self.codebook!r}, {list(self.special_tokens)})"
