"""Show where zero-padded windows collide, and that a codebook's do not.

    python -m recipes.show_collision

The rule of "Training LLMs over Neurally Compressed Text" (section 3.3): the
code of a text is the shortest bit string whose interval lies inside the text's
own. A window ends where one more byte would need more than W bits, and its
code is padded with zeros to W bits. The decoder grows the text as long as its
code stays the same: `keras_nc.coding.ZeroPaddedWindows`.
"""

import itertools

import numpy as np

from keras_nc.coding import Codebook
from keras_nc.coding import ZeroPaddedWindows
from keras_nc.data import default_corpus
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from recipes import launch

WINDOW_BITS = 16
#: Its byte counts, integers, are the example's model.
SENTENCES = (
    b"she sells sea shells by the sea shore. the shells she sells are sea "
    b"shells, she is sure. if she sells sea shells on the sea shore, the "
    b"shells are sea shore shells for sure. "
)
TRAIN_BYTES = 1_000_000
SAMPLE_BYTES = 20_000


def find_collision(rule, texts):
    """Find two texts with the same codes.

    The first window of the second text has some more bytes, which do not change
    its code. The byte after the window fits in neither.

    Args:
        rule: A `ZeroPaddedWindows`.
        texts: A list of bytes.

    Returns:
        A pair of texts, the first of them one of `texts`.

    Raises:
        ValueError: If no text has such a twin.
    """
    for text in texts:
        [windows] = rule.encode([text])
        [first] = rule.decode([windows[0].code])
        other = first + text[windows[0].end :]
        # With only one window, the ambiguity could come from the end of the
        # text.
        several = len(windows) > 1
        if (
            several
            and other != text
            and codes(rule, other) == codes(rule, text)
        ):
            return text, other
    raise ValueError(
        f"No text has a double. Received: {len(texts)} texts. Pass more, or "
        "longer ones."
    )


def codes(rule, text):
    """Return the codes of a text's windows, a list of int."""
    [windows] = rule.encode([text])
    return [int.from_bytes(window.code, "big") for window in windows]


def print_codes(text, codes):
    """Print a text and its codes in binary digits."""
    print(f"  {text!r:16}", *(f"{code:0{WINDOW_BITS}b}" for code in codes))


def print_wrong(name, wrong, windows):
    """Print how many windows come back wrong."""
    print(
        f"  {name}: {wrong:,} of {windows:,} windows come back wrong, "
        f"{wrong / windows:.1%}"
    )


def main():
    """Print a collision, and how many windows of real text come back wrong."""
    model = UnigramModel.from_text(SENTENCES)
    rule = ZeroPaddedWindows(stepper_for(model, 1, 1024), WINDOW_BITS)
    texts = find_collision(rule, SENTENCES.split())
    codebook = Codebook.paper(model, window_bits=WINDOW_BITS)
    print("Zero-padded windows: two texts, the same codes.")
    for text in texts:
        print_codes(text, codes(rule, text))
    print("A codebook of the same model: two texts, different codes.")
    for text in texts:
        print_codes(text, codebook.encode(text).tolist())

    model = NGramModel.from_text(list(default_corpus("train", TRAIN_BYTES)))
    sample = b"".join(default_corpus("validation", SAMPLE_BYTES))
    print(f"{len(sample):,} bytes of the default corpus, n-gram counts:")
    rule = ZeroPaddedWindows(stepper_for(model, 32, 1024), WINDOW_BITS)
    print_wrong("zero-padded", *rule.count_collisions(sample))
    codebook = Codebook.paper(model, window_bits=WINDOW_BITS)
    ids = codebook.encode(sample)
    ends = np.cumsum(codebook.token_lengths[ids]).tolist()
    windows = [sample[a:b] for a, b in itertools.pairwise([0, *ends])]
    pairs = zip(windows, ids.tolist(), strict=True)
    wrong = sum(codebook.token_bytes(i) != window for window, i in pairs)
    print_wrong("codebook", wrong, len(windows))


if __name__ == "__main__":
    launch.start(main)
