"""Numba kernels that count substrings, smooth counts, and code with them."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.range_coder import FINE
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import cumulate_row
from keras_nc.coding.kernels.range_coder import decode_symbol
from keras_nc.coding.kernels.range_coder import end_stream
from keras_nc.coding.kernels.range_coder import fault_at_end
from keras_nc.coding.kernels.range_coder import narrow

_WHOLE = np.uint64((1 << 64) - 1)
SEPARATOR = 256
#: An occurrence is one integer: its place and, from bit 37 on, three of the
#: symbols that follow, 9 bits each. Reading the text waits for memory, so only
#: every third level reads it.
CARRIED = 3
SYMBOL_BITS = 9
PLACE_BITS = 64 - CARRIED * SYMBOL_BITS


@jit
def separate(text, offsets, symbols):
    """Copy documents, each followed by a separator, and `CARRIED` more."""
    at = 0
    for d in range(offsets.size - 1):
        for i in range(offsets[d], offsets[d + 1]):
            symbols[at] = text[i]
            at += 1
        symbols[at] = SEPARATOR
        at += 1
    symbols[at:] = SEPARATOR


@jit
def occurrences(symbols, positions, offsets, items):
    """Write the occurrences at ascending positions in the text."""
    document = 0
    for i in range(positions.size):
        while positions[i] >= offsets[document + 1]:
            document += 1
        items[i] = _item(symbols, np.uint64(positions[i] + document), 0)


@jit
def all_occurrences(symbols, items):
    """Write the occurrences at all symbols."""
    for i in range(items.size):
        items[i] = _item(symbols, np.uint64(i), 0)


@jit
def _item(symbols, place, depth):
    """Make an occurrence that carries the symbols from a depth on."""
    at = place + np.uint64(depth)
    carried = np.uint64(symbols[at])
    carried |= np.uint64(symbols[at + np.uint64(1)]) << np.uint64(SYMBOL_BITS)
    carried |= np.uint64(symbols[at + np.uint64(2)]) << np.uint64(
        2 * SYMBOL_BITS
    )
    return place | carried << np.uint64(PLACE_BITS)


@jit
def count_level(
    symbols, items, kept, bounds, depth, min_count, last, wanted, names
):
    """Count the bytes that follow the nodes of one depth.

    Node i holds the occurrences `items[bounds[i]:bounds[i + 1]]` of one
    string of `depth` bytes. Returns where the records of each node start; the
    byte, the count and the child of each record; the number of occurrences and
    the bounds of the children; and their names. Children are numbered from 0. A
    child is -1 if it occurs less than `min_count` times, or if this is the last
    level. The occurrences of children are written to `kept`.

    If there are names, they are the nodes' numbers in the trie `wanted`, and
    only its nodes are children.
    """
    nodes = bounds.size - 1
    shift = np.uint64(PLACE_BITS + SYMBOL_BITS * (depth % CARRIED))
    mask = np.uint64((1 << SYMBOL_BITS) - 1)
    place_mask = np.uint64((1 << PLACE_BITS) - 1)
    used_up = depth % CARRIED == CARRIED - 1
    most = min(items.size, 256 * nodes)
    starts = np.zeros(nodes + 1, np.int64)
    record_bytes = np.empty(most, np.uint8)
    record_counts = np.empty(most, np.uint32)
    record_children = np.empty(most, np.int32)
    room = items.size // min_count
    if names.size:
        room = min(room, wanted[0].size)
    kept_bounds = np.zeros(1 + room, np.int64)
    child_names = np.zeros(room if names.size else 0, np.int64)
    histogram = np.zeros(257, np.int64)
    place = np.zeros(257, np.int64)
    records = 0
    children = 0
    used = 0
    for i in range(nodes):
        histogram[:] = 0
        for j in range(bounds[i], bounds[i + 1]):
            histogram[(items[j] >> shift) & mask] += 1
        any_kept = False
        for b in range(256):
            place[b] = -1
            n = histogram[b]
            if n == 0:
                continue
            record_bytes[records] = b
            record_counts[records] = n
            record_children[records] = -1
            is_kept = n >= min_count and not last
            if is_kept and names.size:
                name = _child(wanted, names[i], b)
                is_kept = name >= 0
                if is_kept:
                    child_names[children] = name
            if is_kept:
                record_children[records] = children
                children += 1
                place[b] = used
                used += n
                kept_bounds[children] = used
                any_kept = True
            records += 1
        starts[i + 1] = records
        if not any_kept:
            continue
        place[SEPARATOR] = -1
        for j in range(bounds[i], bounds[i + 1]):
            item = items[j]
            symbol = (item >> shift) & mask
            at = place[symbol]
            if at >= 0:
                if used_up:
                    item = _item(symbols, item & place_mask, depth + 1)
                kept[at] = item
                place[symbol] = at + 1
    return (
        starts,
        record_bytes[:records].copy(),
        record_counts[:records].copy(),
        record_children[:records].copy(),
        used,
        kept_bounds[: children + 1],
        child_names[: children if names.size else 0].copy(),
    )


@jit
def _child(trie, node, byte):
    starts, record_bytes, _, record_children = trie
    lo = starts[node]
    hi = starts[node + 1]
    while lo < hi:
        middle = (lo + hi) // 2
        if record_bytes[middle] < byte:
            lo = middle + 1
        else:
            hi = middle
    if lo < starts[node + 1] and record_bytes[lo] == byte:
        return np.int64(record_children[lo])
    return np.int64(-1)


@jit
def _interpolate(trie, node, row):
    """Mix the counts at a node into a row.

    p(b) = (n(b) + T * q(b)) / (n + T) with the total n and the number of
    distinct bytes T: Witten-Bell smoothing.
    """
    starts, _bytes, counts, _ = trie
    total = 0
    for r in range(starts[node], starts[node + 1]):
        total += np.int64(counts[r])
    T = float(starts[node + 1] - starts[node])
    denominator = float(total) + T
    if denominator == 0.0:
        return
    # Scale, then add counts. This order of rounding is the same in any batch.
    for b in range(256):
        row[b] = T * row[b]
    for r in range(starts[node], starts[node + 1]):
        row[_bytes[r]] += float(counts[r])
    for b in range(256):
        row[b] = row[b] / denominator


@jit
def probabilities(trie, start_trie, prefixes, offsets, rows):
    """Fill one row of 256 probabilities for each prefix."""
    for i in range(offsets.size - 1):
        begin = offsets[i]
        end = offsets[i + 1]
        row = rows[i]
        row[:] = 1.0 / 256.0
        # Contexts get longer. If one did not occur, longer ones did not either.
        for k in range(end - begin + 1):
            node = 0
            for j in range(end - k, end):
                node = _child(trie, node, prefixes[j])
                if node < 0:
                    break
            if node < 0:
                break
            _interpolate(trie, node, row)
        _mix_in_row(start_trie, prefixes, begin, end, row)


@jit
def mix_in(trie, prefixes, offsets, rows):
    """Mix the counts of each whole prefix into its row."""
    for i in range(offsets.size - 1):
        _mix_in_row(trie, prefixes, offsets[i], offsets[i + 1], rows[i])


@jit
def _mix_in_row(trie, prefixes, begin, end, row):
    node = np.int64(0)
    for j in range(begin, end):
        node = _child(trie, node, prefixes[j])
        if node < 0:
            return
    _interpolate(trie, node, row)


@jit
def _look_up(tries, text, first, i, context_bytes, precision, row, table):
    """Fill the table of byte i of a document that begins at `first`."""
    bounds = np.array([i - (i - first) % context_bytes, i])
    probabilities(tries[0], tries[1], text, bounds, row)
    cumulate_row(row[0], precision, table)


@jit
def encode_streams(
    tries, text, offsets, context_bytes, precision, out, firsts, ends
):
    """Encode documents."""
    row = np.empty((1, 256))
    table = np.empty(257, np.int64)
    for d in range(offsets.size - 1):
        low, span, at = np.uint64(0), _WHOLE, firsts[d]
        first = offsets[d]
        for i in range(first, offsets[d + 1]):
            _look_up(
                tries, text, first, i, context_bytes, precision, row, table
            )
            b = np.int64(text[i])
            low, span, at = narrow(
                low, span, at, table[b], table[b + 1], precision, out
            )
        if first < offsets[d + 1]:
            at = end_stream(low, at, out)
        ends[d] = at


@jit
def decode_streams(
    tries, codes, bounds, context_bytes, precision, text, offsets
):
    """Decode documents into `text`; return a bad document and its fault."""
    row = np.empty((1, 256))
    table = np.empty(257, np.int64)
    for d in range(offsets.size - 1):
        at, end = bounds[d], bounds[d + 1]
        first = offsets[d]
        span, distance = _WHOLE, begin_stream(codes, at, end)
        for i in range(first, offsets[d + 1]):
            _look_up(
                tries, text, first, i, context_bytes, precision, row, table
            )
            b, fault, distance, span, at = decode_symbol(
                table, distance, span, at, precision, codes, end
            )
            if fault:
                return d, fault
            text[i] = b
        fault = fault_at_end(distance, at, end, offsets[d + 1] - first)
        if fault:
            return d, fault
    return -1, FINE
