"""The files of a `TextTokenizer`: a preset, and those of Hugging Face.

For Hugging Face, a codebook becomes a Unigram model over bytes.

Hugging Face writes bytes as characters ("byte level"): each byte has a
printable one. Its Unigram model takes the segmentation with the largest sum of
scores, as the parse `"likely"` takes the one with the smallest sum of costs.
The scores are the negative costs. They are integers, so their sums in float64
are exact, and ties go to the same segmentation: the one whose last window is
longest, then the one before it, and so on.
"""

import itertools
import json
import os
import pathlib

import numpy as np

from keras_nc import presets
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.codebook import Codebook
from keras_nc.coding.codes import END_ID
from keras_nc.coding.codes import PAD_ID
from keras_nc.coding.codes import START_ID
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import make_folder
from keras_nc.coding.parses import PARSES

_SCHEME = "equal_info"
_CODEBOOK = pathlib.PurePath("assets", "tokenizer", "codebook.npz")
#: How keras-hub names our classes in the files of a preset.
_LAYER = "keras_nc>EqualInfoTokenizer"
_MARK = "keras_nc>TokenizerPreset"
#: No byte is written as these brackets, so no text gives an id of these names.
_NAMES = {PAD_ID: "⟨pad⟩", START_ID: "⟨start⟩", END_ID: "⟨end⟩"}
_UNUSED = "⟨unused {}⟩"
#: The score of ids that no text gives; any would do.
_NEVER = -1e6
_TOKENIZER = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_BACKBONE = "config.json"


def write_preset(folder, tokenizer):
    """Write a preset that `EqualInfoTokenizer.from_preset` reads, too.

    Args:
        folder: Where the files go. It is created if it does not exist.
        tokenizer: A `TextTokenizer`.
    """
    codebook = tokenizer.codebook
    folder = pathlib.Path(folder)
    _check_folder(folder, of_hugging_face=False)
    path = folder / _CODEBOOK
    make_folder(folder)
    make_folder(path.parent)
    codebook.save(path)
    scheme = {
        "name": _SCHEME,
        "token_bits": codebook.window_bits,
        "window_bits": codebook.window_bits,
        "codebook_fingerprint": codebook.fingerprint,
    }
    if tokenizer.special_tokens:
        scheme["special_tokens"] = list(tokenizer.special_tokens)
        scheme["parse_special"] = tokenizer.parse_special
    layer = {
        "name": "equal_info_tokenizer",
        "dtype": "int32",
        "scheme": scheme,
        "sequence_length": None,
    }
    for name, registered, config in (
        (_TOKENIZER, _LAYER, layer),
        # keras-hub finds the class of a preset by the backbone in it.
        (_BACKBONE, _MARK, {}),
    ):
        if name == _BACKBONE and (folder / name).exists():
            continue  # it may be that of a model
        content = {
            "module": "keras_nc.tokenizers",
            "class_name": registered.partition(">")[2],
            "config": config,
            "registered_name": registered,
        }
        with atomic_file(folder / name) as file:
            file.write(json.dumps(content, indent=4).encode())


def read_preset(folder, cls):
    """Read the tokenizer of a preset.

    Args:
        folder: A preset of a tokenizer or of a model.
        cls: `TextTokenizer`, or a subclass.

    Returns:
        An object of the class.

    Raises:
        ValueError: If the folder does not hold such a tokenizer.
    """
    folder = pathlib.Path(folder)
    try:
        config = json.loads((folder / _TOKENIZER).read_bytes())
        scheme = config["config"]["scheme"]
        name, bits = scheme["name"], scheme.get("token_bits")
        expected = scheme.get("codebook_fingerprint")
        special = {
            "special_tokens": scheme.get("special_tokens", []),
            "parse_special": scheme.get("parse_special", False),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _refuse_folder(folder, f"no configuration of one: {error!r}")
    if name != _SCHEME:
        _refuse_folder(folder, f"a tokenizer of the scheme {name!r}")
    codebook = Codebook.load(folder / _CODEBOOK)
    if bits != codebook.window_bits:
        _refuse_folder(
            folder,
            f"windows of {codebook.window_bits} bits in tokens of {bits}",
        )
    if expected not in (None, codebook.fingerprint):
        _refuse_folder(folder, "another codebook than its configuration names")
    try:
        return cls(codebook, **special)
    except (TypeError, ValueError) as error:
        return _refuse_folder(folder, f"a damaged configuration: {error}")


def _refuse_folder(folder, found):
    """Raise the ValueError for a folder without a tokenizer."""
    raise ValueError(
        "A folder must hold an equal-info tokenizer with one token per window. "
        f"Received: {os.fspath(folder)!r} with {found}. Save one there with "
        "`TextTokenizer.save`, or load it with "
        "`keras_nc.tokenizers.SchemeTokenizer.from_preset`. Built-in names: "
        f"{', '.join(presets.TOKENIZERS)}."
    )


# === Hugging Face ===


def byte_characters():
    """Return the character that stands for each byte in Hugging Face's files.

    Bytes that are printable in Latin-1 stand for themselves. The others get the
    characters from 256 on, in order.

    Returns:
        A list of 256 `str`.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = itertools.count(256)
    return [chr(b if b in printable else next(others)) for b in range(256)]


def write_hugging_face(folder, codebook, special_tokens=(), parse=None):
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Args:
        folder: Where the files go.
        codebook: A `Codebook`.
        special_tokens: A list of `str`, whose ids follow those of the windows.
        parse: See `TextTokenizer.to_hugging_face`.

    Returns:
        The `Codebook` whose ids the files give.

    Raises:
        ValueError: If Hugging Face cannot express the tokenizer, or the folder
            holds a tokenizer of keras_nc.
    """
    folder = pathlib.Path(folder)
    codebook = _with_likely_parse(codebook, parse)
    characters = byte_characters()
    costs = codebook.costs.tolist()
    vocabulary = []
    for i, length in enumerate(codebook.token_lengths.tolist()):
        if length:
            window = codebook.token_bytes(i)
            piece = "".join([characters[byte] for byte in window])
            vocabulary.append([piece, -float(costs[i])])
        else:
            vocabulary.append([_NAMES.get(i, _UNUSED.format(i)), _NEVER])
    _check_special_tokens(special_tokens, {piece for piece, _ in vocabulary})
    _check_folder(folder, of_hugging_face=True)
    first = 1 << codebook.window_bits
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": first + i,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i, token in enumerate(special_tokens)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "Unigram",
            "unk_id": None,
            "vocab": vocabulary,
            "byte_fallback": False,
        },
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": _NAMES[PAD_ID],
        "bos_token": _NAMES[START_ID],
        "eos_token": _NAMES[END_ID],
        "additional_special_tokens": list(special_tokens),
        "clean_up_tokenization_spaces": False,
    }
    make_folder(folder)
    for name, content in ((_TOKENIZER, tokenizer), (_CONFIG, config)):
        with atomic_file(folder / name) as file:
            file.write(json.dumps(content, ensure_ascii=False).encode())
    return codebook


def count_different_ids(codebook, other, text):
    """Count the windows of a text that another codebook cuts differently.

    Args:
        codebook: A `Codebook`.
        other: A `Codebook` with the same windows.
        text: `str` or bytes, or a list of them.

    Returns:
        A pair of ints: the windows of `codebook` that begin or end elsewhere
        than those of `other`, and all windows of `codebook`.
    """
    documents = as_documents(text)
    spans, others = (_spans(book, documents) for book in (codebook, other))
    return len(spans) - len(np.intersect1d(spans, others)), len(spans)


def _spans(codebook, documents):
    """Return a number for each window: its end and its length."""
    ids, _ = codebook.encode_batch(documents)
    lengths = codebook.token_lengths[ids].astype(np.int64)
    return np.cumsum(lengths) * 256 + lengths


def _with_likely_parse(codebook, parse):
    """Return a codebook whose parse a Unigram model has."""
    if parse not in (None, "likely"):
        raise ValueError(
            "`parse` must be 'likely', which is the only one that Hugging Face "
            f"can express, or `None`. Received: parse={parse!r}."
        )
    if codebook.parse == "likely":
        return codebook
    if not PARSES[codebook.parse].weighs_windows:
        raise ValueError(
            "A codebook must have costs, because Hugging Face takes the most "
            f"probable windows. Received: a codebook with the parse "
            f"{codebook.parse!r}, which weighs none. Build one with "
            '`parse="likely"`.'
        )
    if parse is None:
        raise ValueError(
            "Hugging Face cannot express a rule about where words end. "
            f"Received: a codebook with the parse {codebook.parse!r}. Pass "
            '`parse="likely"` to write the same windows without that rule, '
            "so that a few ids differ; `text` counts them. Or build a codebook "
            'with `parse="likely"`.'
        )
    return type(codebook)._from_fields({**codebook._fields, "parse": "likely"})


def _check_special_tokens(special_tokens, pieces):
    """Raise a ValueError for names that Hugging Face would take for others."""
    byte_of_character = {c: byte for byte, c in enumerate(byte_characters())}
    for token in special_tokens:
        if token in pieces:
            raise ValueError(
                "Hugging Face finds tokens by their names, so a special token "
                "must not be the name of another one. Received: "
                f"{token!r}, which is. Choose another name."
            )
        found = [byte_of_character.get(character) for character in token]
        if None not in found and bytes(found) != token.encode():
            raise ValueError(
                "Hugging Face decodes a special token of Latin letters as if "
                "each were a byte, so they must be ASCII. Received: "
                f"{token!r}. Choose another name."
            )


def _check_folder(folder, of_hugging_face):
    """Raise a ValueError if a folder holds the other kind of tokenizer."""
    path = folder / _TOKENIZER
    if not path.exists():
        return
    ours = b'"registered_name"' in path.read_bytes()
    if ours == of_hugging_face:
        found = "a preset of keras_nc" if ours else "another tokenizer"
        raise ValueError(
            "A preset and Hugging Face's files need folders of their own, "
            f"because both have a `{_TOKENIZER}`. Received: "
            f"{os.fspath(folder)!r}, which holds {found}. Choose another "
            "folder."
        )
