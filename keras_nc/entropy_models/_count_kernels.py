"""Numba kernels that count substrings and smooth their counts."""

import numpy as np

from keras_nc.coding._jit import jit

SEPARATOR = 256


@jit
def separate(text, offsets):
    """Copy documents to uint16, each followed by a separator."""
    symbols = np.empty(text.size + offsets.size - 1, np.uint16)
    at = 0
    for d in range(offsets.size - 1):
        for i in range(offsets[d], offsets[d + 1]):
            symbols[at] = text[i]
            at += 1
        symbols[at] = SEPARATOR
        at += 1
    return symbols


@jit
def add_separators(positions, offsets, moved):
    """Write where ascending positions lie after `separate`."""
    document = 0
    for i in range(positions.size):
        while positions[i] >= offsets[document + 1]:
            document += 1
        moved[i] = positions[i] + document


@jit
def count_level(symbols, positions, bounds, depth, min_count, last):
    """Count the bytes that follow the nodes of one depth.

    Node i holds the occurrences `positions[bounds[i]:bounds[i + 1]]` of one
    string of `depth` bytes. Returns for each node where its records start;
    for each record its byte, its count, and its child, numbered from 0, or
    -1 if it occurs less than `min_count` times or this is the last level;
    and positions and bounds of the children.
    """
    nodes = bounds.size - 1
    most = min(positions.size, 256 * nodes)
    starts = np.zeros(nodes + 1, np.int64)
    record_bytes = np.empty(most, np.uint8)
    record_counts = np.empty(most, np.uint32)
    record_children = np.empty(most, np.int32)
    kept = np.empty(0 if last else positions.size, positions.dtype)
    kept_bounds = np.zeros(1 + positions.size // min_count, np.int64)
    histogram = np.zeros(257, np.int64)
    place = np.zeros(257, np.int64)
    records = 0
    children = 0
    used = 0
    for i in range(nodes):
        histogram[:] = 0
        for j in range(bounds[i], bounds[i + 1]):
            histogram[symbols[np.int64(positions[j]) + depth]] += 1
        any_kept = False
        for b in range(256):
            place[b] = -1
            n = histogram[b]
            if n == 0:
                continue
            record_bytes[records] = b
            record_counts[records] = n
            record_children[records] = -1
            if n >= min_count and not last:
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
            b = symbols[np.int64(positions[j]) + depth]
            if place[b] >= 0:
                kept[place[b]] = positions[j]
                place[b] += 1
    return (
        starts,
        record_bytes[:records].copy(),
        record_counts[:records].copy(),
        record_children[:records].copy(),
        kept[:used],
        kept_bounds[: children + 1],
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
    """Mix the counts at a node with what the row holds so far.

    p(b) = (n(b) + T * q(b)) / (n + T) with the total n and the number of
    distinct bytes T: Witten-Bell smoothing.
    """
    starts, _bytes, counts, _ = trie
    total = 0
    for r in range(starts[node], starts[node + 1]):
        total += np.int64(counts[r])
    T = float(starts[node + 1] - starts[node])
    whole = float(total) + T
    if whole == 0.0:
        return
    # Counts are added after scaling: one rounding order, whatever the batch.
    for b in range(256):
        row[b] = T * row[b]
    for r in range(starts[node], starts[node + 1]):
        row[_bytes[r]] += float(counts[r])
    for b in range(256):
        row[b] = row[b] / whole


@jit
def probabilities(trie, start_trie, prefixes, offsets, rows):
    """Fill one row of 256 probabilities for each prefix."""
    for i in range(offsets.size - 1):
        begin = offsets[i]
        end = offsets[i + 1]
        row = rows[i]
        row[:] = 1.0 / 256.0
        # Ever longer contexts. If one did not occur, longer ones did not.
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
    """Mix the counts of whole prefixes into a row for each."""
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
