"""From an entropy model to the windows of a codebook."""

import numbers

import numpy as np

from keras_nc.coding.checks import as_choice
from keras_nc.coding.checks import as_integer
from keras_nc.coding.codebook_file import MAX_WINDOW_BITS
from keras_nc.coding.codebook_file import MIN_WINDOW_BITS
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.prune import CANDIDATES
from keras_nc.coding.prune import cut_text
from keras_nc.coding.prune import prune_windows
from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import check_rows
from keras_nc.coding.shares import frequencies
from keras_nc.coding.units import choose_windows
from keras_nc.coding.word_text import WordText

ROOT_WEIGHT = 1 << 39  # its product with a 24-bit frequency fits 63 bits
_BYTES = [bytes([b]) for b in range(256)]


#: What windows may be; see `Codebook.build`.
UNITS = ("phrases", "words", "any")
#: How windows are pruned; see `Codebook.build`.
PRUNE = ("likelihood", "bytes")
#: What every window of words and phrases costs beside its `-log2 p`, in bits.
#: A larger price gives more bytes per token and more bits per byte.
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
):
    """Return the arguments of a `Codebook`; see `Codebook.build`."""
    window_bits = as_window_bits(window_bits)
    max_window_bytes = as_max_window_bytes(max_window_bytes)
    if units is None:
        by_model = allocation is not None or rounds is not None
        units = "any" if by_model else "phrases"
    units = as_choice("units", units, UNITS)
    of_words = units != "any"
    parse = "likely_words" if parse is None and of_words else parse or "aligned"
    parse = PARSES[as_choice("parse", parse, PARSES)]
    prune = _as_prune(prune, "likelihood" if of_words else "bytes")
    price = _as_price(price, of_words)
    model_tokens = as_integer("model_tokens", model_tokens, 1)
    size = (1 << window_bits) - NUM_SPECIAL
    if of_words:
        _refuse_options(units, allocation, rounds)
        prior = {}
        documents = []
        if model is None or text is not None:
            documents = _check_text(text, f"units={units!r}", parse)
        if model is not None:
            _check_model(model)
            prior = _make_prior(
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
        )
        windows = dict(enumerate(windows, NUM_SPECIAL))
        allocation = "frequency"
    else:
        _check_model(model)
        allocation = "tunstall" if allocation is None else allocation
        build_windows = ALLOCATIONS[
            as_choice("allocation", allocation, ALLOCATIONS)
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
    elif not (of_words and parse.name == "likely_words"):
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


def build_arithmetic(model, window_bits, max_window_bytes, batch=4096):
    """Share codes at every state, as arithmetic coding does.

    A state is a range of codes `[low, low + size)`. The start state holds
    `[3, 2^W)`; it gives each byte one code and shares the rest. Every other
    state keeps `low`, which means that the window ends here, and shares
    `size - 1` codes among the next bytes in byte order. A state of one code or
    of `max_window_bytes` is a leaf. Codes that a leaf cannot use stand for no
    window.

    Args:
        model: an entropy model.
        window_bits: W, bits per code.
        max_window_bytes: bytes that a window has at most.
        batch: prefixes that the model is asked for at a time. The result
            does not depend on it as long as the model's rows do not.

    Returns:
        A dict from ids, ascending, to windows (bytes).
    """
    windows = {}
    prefixes = [b""]
    lows = np.array([NUM_SPECIAL])
    sizes = np.array([(1 << window_bits) - NUM_SPECIAL])
    for depth in range(max_window_bytes):
        # The start state gives every byte a code. Other states keep one.
        given, kept = (1, 0) if depth == 0 else (0, 1)
        children = []
        child_lows = []
        child_sizes = []
        for i in range(0, len(prefixes), batch):
            part = slice(i, i + batch)
            f = _next_byte_frequencies(model, prefixes[part])
            shares = allocate(f, sizes[part] - kept - 256 * given) + given
            ends = lows[part, None] + kept + np.cumsum(shares, axis=1)
            rows, next_bytes = np.nonzero(shares)
            child_sizes.append(shares[rows, next_bytes])
            child_lows.append((ends - shares)[rows, next_bytes])
            children += _extend(prefixes[part], rows, next_bytes)
        lows = np.concatenate(child_lows)
        sizes = np.concatenate(child_sizes)
        windows.update(zip(lows.tolist(), children, strict=True))
        inner = np.flatnonzero(sizes > 1)
        if not inner.size:
            break
        prefixes = [children[i] for i in inner.tolist()]
        lows, sizes = lows[inner], sizes[inner]
    return dict(sorted(windows.items()))


def build_tunstall(model, window_bits, max_window_bytes, batch=4096):
    """Take the most probable windows (Tunstall's construction).

    Windows are ordered by integers, so the order is the same on every machine.
    The empty prefix weighs 2^39. A prefix followed by byte b weighs
    `weight * f_b // F`, with the integer frequencies `f` of the entropy model
    and their sum F. Prefixes are sorted by weight, largest first. Ties go to
    the shorter prefix, then to the smaller bytes. The codebook takes the 256
    single bytes, then longer prefixes of at most `max_window_bytes` in this
    order, until there are 2^W - 3 windows. A prefix comes after its own
    prefixes, so the set is prefix-closed.

    Args:
        model: an entropy model.
        window_bits: W, bits per code.
        max_window_bytes: bytes that a window has at most.
        batch: prefixes that the model is asked for at a time. The result
            does not depend on it as long as the model's rows do not.

    Returns:
        A dict from ids, ascending, to windows (bytes) in lexicographic order.
    """
    windows = tunstall_weights(model, window_bits, max_window_bytes, batch)
    return dict(enumerate(sorted(windows), NUM_SPECIAL))


def tunstall_weights(model, window_bits, max_window_bytes, batch=4096):
    """Return a dict from the windows of `build_tunstall` to their weights."""
    room = (1 << window_bits) - NUM_SPECIAL - 256
    # Every prefix seen so far. The arrays below hold indices into it.
    seen = list(_BYTES)
    weights = _child_weights(model, [b""], np.array([ROOT_WEIGHT]))[0]
    lengths = np.ones(256, np.int64)
    best = np.zeros(0, np.int64)  # longer than one byte, expanded or not
    waiting = np.arange(256 if max_window_bytes > 1 else 0)
    cutoff = -1  # prefixes below this weight, and their children, get no code
    while waiting.size:
        waiting = waiting[np.argsort(-weights[waiting], kind="stable")]
        chosen, waiting = waiting[:batch], waiting[batch:]
        prefixes = [seen[i] for i in chosen.tolist()]
        child_weights = _child_weights(model, prefixes, weights[chosen])
        rows, next_bytes = np.nonzero(child_weights >= cutoff)
        children = np.arange(len(seen), len(seen) + rows.size)
        seen += _extend(prefixes, rows, next_bytes)
        weights = np.append(weights, child_weights[rows, next_bytes])
        lengths = np.append(lengths, lengths[chosen][rows] + 1)
        best = _first(room, np.append(best, children), seen, weights, lengths)
        if best.size == room:
            cutoff = weights[best].min()
        # The cutoff only rises. A prefix that is not among the best now never
        # will be, and neither will its children.
        useful = np.zeros(len(seen), bool)
        useful[:256] = True
        useful[best] = True
        useful &= (weights >= cutoff) & (lengths < max_window_bytes)
        waiting = np.append(waiting, children)
        waiting = waiting[useful[waiting]]
    taken = [*range(256), *best.tolist()]
    return {seen[i]: int(weights[i]) for i in taken}


#: How codes are given to windows, by name.
ALLOCATIONS = {"arithmetic": build_arithmetic, "tunstall": build_tunstall}


def _child_weights(model, prefixes, weights):
    f = _next_byte_frequencies(model, prefixes)
    return weights[:, None] * f // f.sum(axis=1, keepdims=True)


def _first(room, places, seen, weights, lengths):
    """Return the places of the first prefixes in the order of codebooks."""
    if places.size <= room:
        return places
    w = weights[places]
    cutoff = np.partition(w, w.size - room)[w.size - room]
    sure = places[w > cutoff]
    # Compare bytes only where weight and length are equal.
    tied = places[w == cutoff].tolist()
    tied.sort(key=lambda i: (lengths[i], seen[i]))
    return np.append(sure, np.array(tied[: room - sure.size], np.int64))


def _extend(prefixes, rows, next_bytes):
    """Return the prefixes of some rows, each with one byte more."""
    pairs = zip(rows.tolist(), next_bytes.tolist(), strict=True)
    return [prefixes[row] + _BYTES[byte] for row, byte in pairs]


def _next_byte_frequencies(model, prefixes):
    """Return integer frequencies of the next byte, int64 of shape (n, 256)."""
    rows = check_rows(model.probabilities(prefixes), len(prefixes), model)
    return frequencies(rows)


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
    """Return `window_bits` as an int if codebooks have so many bits."""
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


def _make_prior(model, window_bits, max_window_bytes, tokens):
    """Return the uses of a model's most probable windows.

    Returns:
        A dict from windows (bytes) to the number of places at which a text of
        `tokens` windows by the model has these bytes. A phrase counts only as
        often as a word boundary is next.
    """
    from keras_nc.coding.kernels.word_boundaries import OTHER
    from keras_nc.coding.kernels.word_boundaries import SPACE
    from keras_nc.coding.kernels.word_boundaries import WORD
    from keras_nc.coding.kernels.word_boundaries import classify
    from keras_nc.coding.kernels.word_boundaries import mark_words

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
        f = _next_byte_frequencies(model, batch)
        shares = (f @ of_kind * ends).sum(axis=1) / f.sum(axis=1)
        for window, share in zip(batch, shares.tolist(), strict=True):
            prior[window] *= share
    return prior


def _check_text(text, why, parse=None):
    """Return the documents of the text, or raise a ValueError.

    Args:
        text: `str` or bytes, or a list of documents, or a `WordText`.
        why: str, what needs the text.
        parse: the `Parse`, where a `WordText` can be enough.
    """
    if isinstance(text, WordText):
        if parse is None or (
            parse.weighs_windows and parse.name != "likely_words"
        ):
            raise ValueError(
                "Numbered words are enough for windows of words and phrases. "
                f"Received: a `WordText`, for {why}"
                f"{f', parse={parse.name!r}' if parse else ''}. Pass the "
                "documents."
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
