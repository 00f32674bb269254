"""From an entropy model to the windows of a codebook."""

import numbers

import numpy as np

from keras_nc.coding.codebook_file import MAX_WINDOW_BITS
from keras_nc.coding.codebook_file import MIN_WINDOW_BITS
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.units import choose_windows
from keras_nc.coding.window_choice import ALLOCATIONS
from keras_nc.coding.window_choice import CANDIDATES
from keras_nc.coding.window_choice import ROOT_WEIGHT
from keras_nc.coding.window_choice import cut_text
from keras_nc.coding.window_choice import next_byte_frequencies
from keras_nc.coding.window_choice import prune_windows
from keras_nc.coding.window_choice import tunstall_weights
from keras_nc.coding.word_text import WordText

#: What windows may be, and the parse that each is chosen for by default; see
#: `Codebook.build`.
UNITS = {"phrases": "likely_words", "words": "likely_words", "any": "aligned"}
#: How windows are pruned; see `Codebook.build`.
PRUNE = ("likelihood", "bytes")
#: Bits that every window of words and phrases costs on top of its `-log2 p`. A
#: larger price gives more bytes per token and more bits per byte.
PRICE = 2.0


def build_content(
    model,
    text,
    *,
    window_bits,
    units,
    allocation,
    parse,
    prune,
    price,
    rounds,
    model_tokens,
    max_window_bytes,
    progress,
):
    """Return the arguments of a `Codebook`; see `Codebook.build`."""
    window_bits = as_window_bits(window_bits)
    max_window_bytes = as_max_window_bytes(max_window_bytes)
    if units is None:
        by_model = allocation is not None or rounds is not None
        units = "any" if by_model else "phrases"
    units = as_choice("units", units, UNITS)
    of_words = units != "any"
    parse = UNITS[units] if parse is None else parse
    parse = PARSES[as_choice("parse", parse, PARSES)]
    # Units are chosen with the costs of their own parse.
    has_costs = of_words and parse.name == UNITS[units]
    prune = _as_prune(prune, "likelihood" if of_words else "bytes")
    price = _as_price(price, of_words)
    model_tokens = as_integer("model_tokens", model_tokens, 1)
    size = (1 << window_bits) - NUM_SPECIAL
    if of_words:
        _refuse_options(units, allocation, rounds)
        prior = {}
        documents = []
        if model is None or text is not None:
            why = f"units={units!r}, parse={parse.name!r}"
            is_enough = has_costs or not parse.weighs_windows
            documents = _check_text(text, why, is_enough)
        if model is not None:
            _check_model(model)
            prior = _expected_uses(
                model, window_bits, max_window_bytes, model_tokens
            )
        windows, costs = choose_windows(
            documents,
            size,
            phrases=units == "phrases",
            prune=prune,
            price=price,
            longest=max_window_bytes,
            prior=prior,
            progress=progress,
        )
        windows = dict(enumerate(windows, NUM_SPECIAL))
        allocation = "frequency"
    else:
        _check_model(model)
        allocation = "tunstall" if allocation is None else allocation
        of_models = [name for name, build in ALLOCATIONS.items() if build]
        build_windows = ALLOCATIONS[
            as_choice("allocation", allocation, of_models)
        ]
        rounds = _as_rounds(model, rounds)
        documents = None
        if rounds or prune or parse.weighs_windows:
            why = f"parse={parse.name!r}, prune={prune!r}, rounds={rounds}"
            documents = _check_text(text, why)
        for _ in range(rounds):
            windows = build_windows(model, window_bits, max_window_bytes)
            starts = _window_starts(list(windows.values()), parse, documents)
            model = model.refit(documents, starts)
        if prune:
            wider = window_bits + CANDIDATES.bit_length() - 1
            windows = build_windows(model, wider, max_window_bytes)
            kept = prune_windows(
                list(windows.values()), size, parse, documents, prune
            )
            windows = dict(enumerate(kept, NUM_SPECIAL))
        else:
            windows = build_windows(model, window_bits, max_window_bytes)
    if not parse.weighs_windows:
        costs = None
    elif not has_costs:
        text, offsets = join_documents(documents)
        _, costs = cut_text(list(windows.values()), parse, text, offsets, price)
    if costs is not None:
        window_costs = np.zeros(1 << window_bits, np.uint16)
        window_costs[list(windows)] = costs
        costs = window_costs
    return {
        "windows": windows,
        "window_bits": window_bits,
        "max_window_bytes": max_window_bytes,
        "allocation": str(allocation),
        "parse": parse.name,
        "costs": costs,
    }


def _window_starts(windows, parse, documents):
    """Return where windows start in the documents joined, int64."""
    places, _ = cut_text(windows, parse, *join_documents(documents))
    lengths = np.array([len(window) for window in windows])
    ends = np.cumsum(lengths[places], dtype=np.int64)
    return np.concatenate([[0], ends[:-1]])


def _check_model(model):
    if isinstance(model, type) or not hasattr(model, "probabilities"):
        raise TypeError(
            "`model` must be an entropy model, with `probabilities(prefixes)`. "
            f"Received: {model!r}. See `keras_nc.entropy_models`. A text is "
            "passed as `text=`."
        )


def as_window_bits(window_bits):
    """Return `window_bits` as an int if codebooks may have this many bits."""
    return as_integer(
        "window_bits",
        window_bits,
        MIN_WINDOW_BITS,
        MAX_WINDOW_BITS,
        "Fewer bits cannot hold all 256 bytes. More bits are too many windows "
        "for a table: use live windows, which need the model while coding.",
    )


def as_max_window_bytes(max_window_bytes):
    """Return `max_window_bytes` as an int if windows can be so long."""
    return as_integer(
        "max_window_bytes", max_window_bytes, 1, 255, "The default is 64."
    )


def _as_rounds(model, rounds):
    can_refit = callable(getattr(model, "refit", None))
    if rounds is None:
        return 1 if can_refit else 0
    remedy = "Use 0 for the model as it is."
    rounds = as_integer("rounds", rounds, 0, remedy=remedy)
    if rounds and not can_refit:
        raise ValueError(
            "Rounds need an entropy model with `refit`. Received: "
            f"rounds={rounds} and {type(model).__name__}, which has none. Use "
            "`rounds=0`, or a model such as `NGramModel`."
        )
    return rounds


def _as_prune(prune, default):
    """Return how to prune, or `None`."""
    if isinstance(prune, (bool, np.bool_)):
        return default if prune else None
    return as_choice("prune", prune, PRUNE)


def _as_price(price, of_words):
    if price is None:
        return PRICE if of_words else 0.0
    if not isinstance(price, numbers.Real) or not 0 <= price <= 16:
        raise ValueError(
            "`price` must be a number of bits from 0 to 16. Received: "
            f"{price!r}. The default is {PRICE} for words and phrases."
        )
    return float(price)


def _refuse_options(units, allocation, rounds):
    given = {"allocation": allocation, "rounds": rounds or None}
    given = [f"{name}={it!r}" for name, it in given.items() if it is not None]
    if given:
        raise ValueError(
            f"Windows of {units} have no allocation and no rounds. Received: "
            f"units={units!r} with {', '.join(given)}. Leave these out, or use "
            '`units="any"`.'
        )


def _check_text(text, why, numbered=False):
    """Return the documents of the text, or raise a ValueError.

    Args:
        text: `str` or bytes, or a list of documents, or a `WordText`.
        why: str, what needs the text.
        numbered: bool, whether a `WordText` is enough.
    """
    if isinstance(text, WordText):
        if not numbered:
            raise ValueError(
                "Numbered words are enough for windows of words and phrases. "
                f"Received: a `WordText`, for {why}. Pass the documents."
            )
        if text.letters.size:
            return text
    documents = []
    if text is not None and not isinstance(text, WordText):
        documents = as_documents(text)
    if not any(len(document) for document in documents):
        raise ValueError(
            "These windows are chosen by a text. Received: no bytes of text, "
            f"for {why}. Pass the text, or take the windows of a model alone: "
            "`Codebook.paper(model, window_bits=...)`."
        )
    return documents


def _expected_uses(model, window_bits, max_window_bytes, tokens):
    """Return the uses of a model's most probable windows.

    Args:
        model: an entropy model. If it has a `reader`, that is asked instead: it
            is faster if many prefixes begin alike.
        window_bits: W, bits per code.
        max_window_bytes: bytes that a window has at most.
        tokens: how many windows the text has.

    Returns:
        A dict from windows (bytes) to how often these bytes are expected in a
        text of `tokens` windows, if the model wrote it. A phrase counts only
        where a word boundary follows.
    """
    from keras_nc.coding.kernels.words import OTHER
    from keras_nc.coding.kernels.words import SPACE
    from keras_nc.coding.kernels.words import WORD
    from keras_nc.coding.kernels.words import classify
    from keras_nc.coding.kernels.words import mark_words

    if hasattr(model, "reader"):
        model = model.reader(max_window_bytes)
    wider = window_bits + CANDIDATES.bit_length() - 1
    weights = tunstall_weights(model, wider, max_window_bytes)
    windows = list(weights)
    text, offsets = join_documents(windows)
    marks = np.append(0, np.cumsum(mark_words(text, offsets), dtype=np.int64))
    words = marks[offsets[1:]] - marks[offsets[:-1]]
    prior = {
        window: tokens * weight / ROOT_WEIGHT
        for window, weight in weights.items()
    }
    phrases = [windows[i] for i in np.flatnonzero(words > 1).tolist()]
    # Whether a boundary lies before a byte depends on the class of the byte.
    kinds = [classify(np.uint8(b)) for b in range(256)]
    of_kind = np.equal.outer(kinds, [WORD, SPACE, OTHER])
    for i in range(0, len(phrases), 4096):
        batch = phrases[i : i + 4096]
        text, offsets = join_documents(
            [window[-2:] + b for window in batch for b in (b"a", b" ", b".")]
        )
        ends = mark_words(text, offsets)[offsets[1:] - 1].reshape(-1, 3)
        f = next_byte_frequencies(model, batch)
        shares = (f @ of_kind * ends).sum(axis=1) / f.sum(axis=1)
        for window, share in zip(batch, shares.tolist(), strict=True):
            prior[window] *= share
    return prior
