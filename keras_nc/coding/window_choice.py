"""Choose windows: by an entropy model, or by their uses in a text.

`ALLOCATIONS` make windows, and give them codes, from the probabilities of an
entropy model. `prune_windows` keeps those windows that a text needs most.
"""

import numpy as np

from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import check_rows
from keras_nc.coding.shares import frequencies
from keras_nc.coding.trie import Trie
from keras_nc.coding.trie import window_starts

ROOT_WEIGHT = 1 << 39  # its product with a 24-bit frequency fits 63 bits
_BYTES = [bytes([b]) for b in range(256)]
#: How many candidate windows to build for each window that is kept.
CANDIDATES = 4
SHRINK = 0.75  # between two parses, so that uses stay accurate
COST_BITS = 10  # costs are multiples of 2^-10 bits
MAX_COST = (1 << 16) - 1


def build_arithmetic(model, window_bits, max_window_bytes, batch=4096):
    """Share codes at every state, as arithmetic coding does.

    A state is a range of codes `[low, low + size)`. The start state holds
    `[3, 2^W)`; it gives each byte one code and shares the rest. Every other
    state keeps `low`, which means that the window ends here, and shares
    `size - 1` codes among the next bytes in byte order. A state with one code,
    or whose window has `max_window_bytes`, is a leaf. Codes that a leaf cannot
    use have no window.

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
            f = next_byte_frequencies(model, prefixes[part])
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
    # All prefixes so far. The arrays below hold indices into this list.
    seen = list(_BYTES)
    weights = _child_weights(model, [b""], np.array([ROOT_WEIGHT]))[0]
    lengths = np.ones(256, np.int64)
    best = np.zeros(0, np.int64)  # prefixes of two or more bytes
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


#: How windows got their codes: the name of the way, and the function that makes
#: windows from an entropy model. Without one, windows are chosen by their uses.
ALLOCATIONS = {
    "arithmetic": build_arithmetic,
    "tunstall": build_tunstall,
    "frequency": None,
}


def _child_weights(model, prefixes, weights):
    f = next_byte_frequencies(model, prefixes)
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
    """Return the prefixes of these rows, each with one more byte."""
    pairs = zip(rows.tolist(), next_bytes.tolist(), strict=True)
    return [prefixes[row] + _BYTES[byte] for row, byte in pairs]


def next_byte_frequencies(model, prefixes):
    """Return integer frequencies of the next byte, int64 of shape (n, 256)."""
    rows = check_rows(model.probabilities(prefixes), len(prefixes), model)
    return frequencies(rows)


def prune_windows(windows, size, parse, documents, by):
    """Choose the most useful windows of a larger codebook.

    Cut the text, drop the quarter of windows that are needed least, and repeat.
    Several rounds are needed because dropping a window changes the uses of
    others. Ties keep the shorter, then the smaller window. Single bytes are
    never dropped.

    Args:
        windows: list of bytes in lexicographic order.
        size: how many to keep.
        parse: the `Parse` that cuts the documents.
        documents: list of documents (bytes).
        by: `"bytes"` or `"likelihood"`. A window saves its uses times its bytes
            minus one; or its uses times what its bytes cost more if they are
            cut the best other way.

    Returns:
        A list of bytes in lexicographic order.
    """
    text, offsets = join_documents(documents)
    while len(windows) > size:
        lengths = np.array([len(window) for window in windows])
        ids, costs = cut_text(windows, parse, text, offsets)
        uses = np.bincount(ids, minlength=len(windows))
        if by == "bytes":
            saved = uses * (lengths - 1)
        else:
            if costs is None:
                costs = window_costs(uses, lengths)
            saved = uses * (_costs_without(windows, costs) - costs)
        saved[lengths == 1] = np.iinfo(saved.dtype).max
        kept = max(size, int(len(windows) * SHRINK))
        ranked = np.lexsort((np.arange(len(windows)), lengths, -saved))
        windows = [windows[i] for i in np.sort(ranked[:kept]).tolist()]
    return windows


def _costs_without(windows, costs):
    """Return what the bytes of each window cost without it, int64."""
    from keras_nc.coding.kernels import units

    trie, content = _make_trie(windows)
    return units.cost_without(
        trie.cells,
        trie.id_of_slot,
        np.append(np.uint16(0), costs),
        window_starts(trie.lengths),
        trie.lengths,
        content,
    )[1:]


def _make_trie(windows):
    lengths = np.array([len(window) for window in windows], np.uint8)
    # In a trie, id 0 means no window.
    lengths = np.concatenate([[np.uint8(0)], lengths])
    content = np.frombuffer(b"".join(windows), np.uint8)
    return Trie(lengths, content), content


def cut_text(windows, parse, text, offsets, price=0):
    """Cut text into windows that have no codebook yet.

    Args:
        windows: list of bytes in lexicographic order.
        parse: a `Parse`.
        text: uint8 of shape (L,), all documents joined.
        offsets: int64 of shape (documents + 1,).
        price: bits that every window costs on top of its `-log2 p`.

    Returns:
        Places of the windows in the list, int64 of shape (T,), and their
        costs, uint16 of the length of the list, or `None` for a parse that
        does not weigh windows.
    """
    trie, _ = _make_trie(windows)
    lengths = trie.lengths
    if not parse.weighs_windows:
        ids, _ = trie.encode(text, offsets, parse)
        return ids.astype(np.int64) - 1, None
    if parse.first:
        ids, _ = trie.encode(text, offsets, PARSES[parse.first])
    else:
        costs = (lengths > 0).astype(np.uint16)
        ids, _ = trie.encode(text, offsets, parse, costs)
    # The parse and the costs depend on each other. They converge soon.
    for _ in range(2):
        costs = window_costs(
            np.bincount(ids, minlength=len(lengths)), lengths, price
        )
        ids, _ = trie.encode(text, offsets, parse, costs)
    return ids.astype(np.int64) - 1, costs[1:]


def window_costs(uses, lengths, price=0):
    """Return the cost of each window in units of 2^-10 bits, uint16.

    A window costs `-log2 p` and the price. Probabilities come from uses with
    add-one smoothing, so no window has probability zero.

    Args:
        uses: how often each window is used, by id.
        lengths: bytes of each window, 0 for an id without one, which costs 0.
        price: bits.
    """
    used = np.asarray(lengths) > 0
    counts = np.where(used, uses + 1.0, 1.0)
    bits = np.log2(counts[used].sum()) - np.log2(counts) + price
    costs = np.rint(bits * (1 << COST_BITS)).clip(1, MAX_COST)
    return np.where(used, costs, 0).astype(np.uint16)
