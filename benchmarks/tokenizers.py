"""Speed of compiled windows against named peers, one table from one run.

    python -m benchmarks.tokenizers
    python -m benchmarks.tokenizers --m1 runs/mine/m1/preset

Contenders take turns on one core. They encode held-out text in pieces of 2,000
characters. MB/s are medians of five rounds. A second table uses two threads,
each on its own core.
"""

import concurrent.futures
import math
import statistics

from benchmarks import building
from benchmarks import options
from benchmarks import peers
from benchmarks import texts
from benchmarks import tf_layers
from benchmarks import timing
from recipes.flags import say

PIECE_CHARACTERS = 2_000
TIMED_BYTES = 2_000_000
QUICK_TIMED_BYTES = 60_000
#: Bytes of a call for two threads: the held-out text, repeated.
THREADED_BYTES = 32_000_000
ROUNDS = 5
#: The peers; speeds are also given as multiples of theirs.
UNIGRAM, BPE = peers.SENTENCEPIECE
FASTEST = f"{peers.GIGATOKEN}: BPE, GPT-2's splitting"


def main(settings):
    """Train, race, print the tables."""
    size = 2**settings.window_bits
    text = texts.training_text(settings.data, settings.max_bytes)
    timed = QUICK_TIMED_BYTES if settings.quick else TIMED_BYTES
    held_out = texts.held_out_text(settings.held_out, timed)
    pieces = texts.pieces(held_out, PIECE_CHARACTERS)
    say(f"Training on {sum(map(len, text)):,} bytes")
    windows = peers.codebooks(text, settings.window_bits)
    windows |= peers.dictionary(text, size)
    others = peers.sentencepieces(text, size)
    splitting = peers.bpes(text, size, splits=("gpt2",))
    fastest = peers.gigatokens(others | splitting, [p.decode() for p in pieces])
    if not fastest:
        print("\ngigatoken is not installed: no rows for it.")
    rounds = 2 if settings.quick else ROUNDS
    with timing.pinned(1):  # threads of libraries are pinned, too
        say("Encoding")
        contenders = encoders(windows, others | splitting, fastest, pieces)
        print_rates("encode", contenders, timing.race(contenders, rounds))
        say("Decoding")
        contenders = decoders(windows, others | splitting, pieces)
        print_rates("decode", contenders, timing.race(contenders, rounds))
        say("Inside tf.data")
        passed = timed if settings.quick else tf_layers.PASS_BYTES
        contenders = tf_layers.contenders(windows, others, pieces, passed)
        if contenders:
            seconds = timing.race(contenders, rounds)
            print_rates("tf.data layer", contenders, seconds)
        else:
            print("\ntensorflow-text is not installed: no row for tf.data.")
        say("One short string")
        trained = windows | others | splitting
        print_latencies(trained, fastest, pieces, rounds)
    say("Two threads")
    least = timed if settings.quick else THREADED_BYTES
    print_threads(windows, fastest, pieces, least, rounds)
    building.print_costs(windows | others | splitting)
    if settings.m1:
        say(f"Building codebooks from {settings.m1}")
        building.print_m1_costs(settings.m1, settings.window_bits, held_out)
    print(
        f"\n{sum(map(len, pieces)):,} bytes of held-out text in {len(pieces)} "
        f"pieces; vocabularies of {size:,} ids at most, learned from "
        f"{sum(map(len, text)):,} bytes; medians of {rounds} interleaved "
        "rounds, seconds of the process on one core unless said. "
        f"{options.conditions('numpy', 'numba', 'sentencepiece', 'tokenizers')}"
    )


def encoders(windows, others, fastest, pieces):
    """Return contenders that encode all pieces; peers get `str`."""
    amount = sum(map(len, pieces))
    strings = [piece.decode() for piece in pieces]
    joined = b"".join(pieces)
    found = []

    def add(name, call):
        found.append(timing.Contender(name, call, amount))

    for name, peer in windows.items():
        tokenizer = peer.tokenizer
        add(name, lambda t=tokenizer: t.scheme.encode_batch(pieces))
    codebook = next(iter(windows.values())).tokenizer.codebook
    first = next(iter(windows))
    add(f"{first}: one text", lambda: codebook.encode(joined))
    add(
        f"{first}: a call per piece",
        lambda: [codebook.encode(piece) for piece in pieces],
    )
    others = {
        name: peers.library_encoder(peer.tokenizer.scheme)
        for name, peer in others.items()
    }
    batches = {name: peer.encode_batch for name, peer in fastest.items()}
    for name, encode in (others | batches).items():
        add(name, lambda e=encode: e(strings))
    return found


def decoders(windows, others, pieces):
    """Return contenders that decode all pieces."""
    amount = sum(map(len, pieces))
    found = []
    for name, peer in windows.items():
        ids = peer.tokenizer.encode_batch(pieces)[0]
        decode = peer.tokenizer.codebook.decode
        call = lambda ids=ids, decode=decode: decode(ids)  # noqa: E731
        found.append(timing.Contender(name, call, amount))
    for name, peer in others.items():
        scheme = peer.tokenizer.scheme
        if scheme.name == "sentencepiece":
            rows = scheme.processor.encode([p.decode() for p in pieces])
            decode = scheme.processor.decode
            call = lambda rows=rows, decode=decode: decode(rows)  # noqa: E731
            found.append(timing.Contender(name, call, amount))
    return found


def print_rates(what, contenders, seconds):
    """Print MB/s, the spread over rounds, and multiples of the peers."""
    rates = timing.rates(contenders, seconds)
    header = [what, "MB/s", "slowest to fastest"]
    peers_here = [name for name in (UNIGRAM, BPE, FASTEST) if name in rates]
    header += [f"x {name}" for name in peers_here]
    rows = []
    for contender in contenders:
        of_rounds = [
            contender.amount / 1e6 / s for s in seconds[contender.name]
        ]
        rate = rates[contender.name]
        row = [contender.name, f"{rate:,.1f}"]
        row.append(f"{min(of_rounds):,.1f} to {max(of_rounds):,.1f}")
        row += [f"{rate / rates[name]:.1f}" for name in peers_here]
        rows.append(row)
    print(f"\n{timing.table(header, rows)}", flush=True)


def print_latencies(trained, fastest, pieces, rounds):
    """Print the time to encode one string of 100 bytes."""
    string = pieces[0][:100]
    contenders = [
        timing.Contender(
            name,
            lambda scheme=peer.tokenizer.scheme: scheme.encode_batch([string]),
            len(string),
        )
        for name, peer in trained.items()
    ]
    text = string.decode("utf-8", "ignore")
    contenders += [
        timing.Contender(name, lambda p=peer: p.encode(text), len(string))
        for name, peer in fastest.items()
    ]
    seconds = timing.race(contenders, rounds)
    rows = [
        [name, f"{statistics.median(times) * 1e6:,.1f}"]
        for name, times in seconds.items()
    ]
    header = ["one string of 100 bytes", "microseconds"]
    print(f"\n{timing.table(header, rows)}", flush=True)


def print_threads(windows, fastest, pieces, least_bytes, rounds):
    """Print MB/s on the wall of one thread and of two, each on a core.

    Handing work to a thread takes as long as encoding some 100,000 bytes, so
    the calls are as large as those that go through a corpus.
    """
    pieces = pieces * math.ceil(least_bytes / sum(map(len, pieces)))
    amount = sum(map(len, pieces))
    strings = [piece.decode() for piece in pieces]
    calls = {
        name: (peer.tokenizer.scheme.encode_batch, pieces)
        for name, peer in windows.items()
    }
    for name, peer in fastest.items():
        calls[name] = peer.encode_batch, strings
    contenders = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, (encode, texts) in calls.items():
            halves = [texts[::2], texts[1::2]]
            alone = lambda e=encode, t=texts: e(t)  # noqa: E731
            shared = lambda e=encode, h=halves: list(pool.map(e, h))  # noqa: E731
            contenders += [
                timing.Contender(f"{name}, one", alone, amount, cores=2),
                timing.Contender(f"{name}, two", shared, amount, cores=2),
            ]
        rates = timing.rates(contenders, timing.race(contenders, rounds))
    header = [f"encode, calls of {amount:,} bytes"]
    header += ["one thread, MB/s", "two threads, MB/s", "times"]
    rows = []
    for name in calls:
        alone, shared = rates[f"{name}, one"], rates[f"{name}, two"]
        rows.append(
            [name, f"{alone:,.1f}", f"{shared:,.1f}", f"{shared / alone:.2f}"]
        )
    print(f"\n{timing.table(header, rows)}", flush=True)


if __name__ == "__main__":
    options.start(
        main,
        m1={"help": "A trained M1 to build codebooks from, a preset."},
    )
