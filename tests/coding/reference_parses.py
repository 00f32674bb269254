"""Slow parses written from the definition, to test the fast ones."""

import numpy as np

WORD = set(b"_'0123456789") | set(range(ord("a"), ord("z") + 1))
WORD |= set(range(ord("A"), ord("Z") + 1)) | set(range(128, 256))


def is_boundary(text, i):
    """Return whether a word boundary lies before byte i."""
    left, right = text[i - 1], text[i]
    if right == ord(" "):
        return left != ord(" ")
    if right in WORD and left == ord(" "):
        return i >= 2 and text[i - 2] == ord(" ")
    return (left in WORD) != (right in WORD)


def begins_word(text, i):
    """Return whether a boundary of `likely_words` lies before byte i."""
    run = text[max(i - 2, 0) : i] == b"  "
    if text[i] == ord(" "):
        return i == 0 or text[i - 1] != ord(" ")
    if i and text[i - 1] == ord(" "):
        return run
    return i == 0 or not {text[i - 1], text[i]} <= WORD


def ends(windows, text, i):
    """Return where a window that begins at i may end, ascending."""
    longest = max(map(len, windows))
    stops = range(i + 1, min(i + longest, len(text)) + 1)
    return [j for j in stops if text[i:j] in windows]


def greedy(windows, text, i):
    return ends(windows, text, i)[-1]


def aligned(windows, text, i):
    stops = ends(windows, text, i)
    good = [j for j in stops if j == len(text) or is_boundary(text, j)]
    return (good or stops)[-1]


def flexible(windows, text, i):
    def reach(j):
        return len(text) + 1 if j == len(text) else greedy(windows, text, j)

    return max(ends(windows, text, i), key=lambda j: (reach(j), j))


def follow(back):
    """Return where windows end, given where each of them begins."""
    stops, j = [], len(back) - 1
    while j:
        stops.append(j)
        j = back[j]
    return stops[::-1]


def likely(windows, text, costs, only_aligned):
    """Return where windows end; ties go to the longest last window."""
    best = [(0, 0)] + [None] * len(text)  # (ends inside words, cost)
    back = [0] * (len(text) + 1)
    for i in range(len(text)):
        for j in ends(windows, text, i):
            inside = only_aligned and j < len(text) and not is_boundary(text, j)
            cost = (best[i][0] + inside, best[i][1] + costs[text[i:j]])
            if best[j] is None or cost < best[j]:
                best[j], back[j] = cost, i
    return follow(back)


def likely_words(windows, text, costs):
    """Return where windows end; ties go to the longest last window."""
    begins = [begins_word(text, i) for i in range(len(text))] + [True]
    best = [0] + [None] * len(text)
    back = [0] * (len(text) + 1)
    word_end = 0
    for i in range(len(text)):
        if begins[i]:
            word_end = begins.index(True, i + 1)
        if best[i] is None:
            continue
        for j in ends(windows, text, i):
            if j > word_end and not (begins[i] and begins[j]):
                continue
            cost = best[i] + costs[text[i:j]]
            if best[j] is None or cost < best[j]:
                best[j], back[j] = cost, i
    return follow(back)


def parse(windows, text, name, costs=None):
    """Return the windows of a text."""
    if name == "likely_words":
        stops = likely_words(windows, text, costs)
    elif name.startswith("likely"):
        stops = likely(windows, text, costs, name == "likely_aligned")
    else:
        cut = {"greedy": greedy, "aligned": aligned, "flexible": flexible}
        stops, i = [], 0
        while i < len(text):
            i = cut[name](windows, text, i)
            stops.append(i)
    starts = [0, *stops[:-1]] if stops else []
    return [text[i:j] for i, j in zip(starts, stops, strict=True)]


def windows_of(codebook, text):
    return [codebook.token_bytes(i) for i in codebook.encode(text)]


def expected_windows(codebook, text):
    ids = np.flatnonzero(codebook.token_lengths).tolist()
    windows = {codebook.token_bytes(i): i for i in ids}
    costs = codebook._fields["costs"]
    costs = {w: int(costs[i]) for w, i in windows.items()} if costs.size else {}
    return parse(windows, text, codebook.parse, costs)
