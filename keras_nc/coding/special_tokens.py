"""Special tokens of one's own, with ids after those of the windows."""

import hashlib
import json
import re

import numpy as np

from keras_nc.coding.inputs import as_bytes


class SpecialTokens:
    """Names that stand for one id each, such as the roles of a chat.

    The ids follow those of a codebook, in the order of the names. At one place
    in a text, the longest name wins.

    Args:
        names: A list of different, non-empty `str`.
        first_id: int. The id of the first name.

    Raises:
        TypeError: If the names are not a list of `str`.
        ValueError: If a name is empty or occurs twice.

    Example:
    >>> tokens = SpecialTokens(["<|user|>", "<|end|>"], first_id=4096)
    >>> tokens.split(b"<|user|>Hi!<|end|>")
    [b'', b'<|user|>', b'Hi!', b'<|end|>', b'']
    >>> tokens.find(b"<|end|>"), tokens.find(b"Hi!")
    (4097, None)
    """

    def __init__(self, names, first_id):
        self.names = _checked(names)
        self.first_id = first_id
        #: The names as bytes, in the order of their ids.
        self.texts = [name.encode() for name in self.names]
        self.lengths = np.array([len(text) for text in self.texts], np.int32)
        self._ids = {text: first_id + i for i, text in enumerate(self.texts)}
        longest_first = sorted(self.texts, key=len, reverse=True)
        choices = b"|".join(map(re.escape, longest_first))
        self._pattern = re.compile(b"(" + choices + b")")

    def __len__(self):
        return len(self.names)

    def find(self, text):
        """Return the id of a name in bytes, or `None`."""
        return self._ids.get(text)

    def split(self, text):
        """Split bytes into a list: text, name, text, name, ..., text."""
        return self._pattern.split(text) if self.names else [text]

    @property
    def digest(self):
        """Sixteen hexadecimal digits that depend on all names."""
        names = json.dumps(self.names).encode()
        return hashlib.sha256(names).hexdigest()[:16]


def _checked(names):
    """Return names as a tuple of str, or raise an error."""
    if not isinstance(names, (list, tuple)):
        fault = f"{names!r}"
    else:
        names = tuple(names)
        wrong = [name for name in names if not isinstance(name, str)]
        fault = f"{wrong[0]!r} in it" if wrong else None
    if fault:
        raise TypeError(
            "`special_tokens` must be a list of `str`. Received: "
            f"{fault}. Pass, for example, ['<|user|>', '<|end|>']."
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise ValueError(
                "Special tokens must be different and not empty. Received: "
                f"{name!r} among {list(names)}. Remove it."
            )
        as_bytes(name)  # raises an error if it has no UTF-8
    return names
