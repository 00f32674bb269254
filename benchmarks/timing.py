"""Compare speeds: pinned to cores, interleaved, medians of rounds."""

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Callable

#: Shorter calls are repeated, so that the clock's resolution does not matter.
LEAST_SECONDS = 0.05
#: The cores of this process; empty if the system does not tell.
ALL_CORES = (
    sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
)


@dataclasses.dataclass
class Contender:
    """Something to time.

    Args:
        name: str.
        call: A function without arguments.
        amount: int. Bytes that a call goes through.
        cores: int. Cores that it may use.
    """

    name: str
    call: Callable
    amount: int
    cores: int = 1


@contextlib.contextmanager
def pinned(cores):
    """Pin the process to some cores, if the system allows it.

    Args:
        cores: int. How many; as many as there are, if fewer.
    """
    if not ALL_CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES[-cores:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def race(contenders, rounds):
    """Time contenders in turn, round by round.

    What slows the machine down for a while then slows all of them. On one
    core the process's own time counts, so that other programs on that core do
    not; on several, the time on the wall.

    Args:
        contenders: A list of `Contender`.
        rounds: int.

    Returns:
        A dict from names to seconds per call, a list with one for each round.
    """
    seconds = {contender.name: [] for contender in contenders}
    repeats = {}
    for contender in contenders:  # the first call compiles and warms up
        clock = _clock(contender)
        with pinned(contender.cores):
            contender.call()
            start = clock()
            contender.call()
            once = max(clock() - start, 1e-9)
        repeats[contender.name] = max(1, round(LEAST_SECONDS / once))
    for _ in range(rounds):
        for contender in contenders:
            clock = _clock(contender)
            n = repeats[contender.name]
            with pinned(contender.cores):
                start = clock()
                for _ in range(n):
                    contender.call()
                elapsed = clock() - start
            seconds[contender.name].append(elapsed / n)
    return seconds


def _clock(contender):
    return time.process_time if contender.cores == 1 else time.perf_counter


def rates(contenders, seconds):
    """Return the median MB/s of each contender, a dict by name."""
    return {
        contender.name: contender.amount
        / 1e6
        / statistics.median(seconds[contender.name])
        for contender in contenders
    }


@dataclasses.dataclass
class Cost:
    """Seconds, and the rise of peak memory in megabytes."""

    seconds: float = 0.0
    megabytes: float | None = None


@contextlib.contextmanager
def costing():
    """Measure the block; yield a `Cost` that is filled at its end."""
    cost = Cost()
    before = _memory("VmRSS", reset=True)
    start = time.perf_counter()
    yield cost
    cost.seconds = time.perf_counter() - start
    if before is not None:
        cost.megabytes = _memory("VmHWM") - before


def _memory(field, reset=False):
    """Return megabytes from the kernel; `None` if it does not count them."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # reset the peak
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines[field].split()[0]) / 1000
    except (OSError, KeyError):
        return None


def table(header, rows):
    """Make a Markdown table; the first column is aligned to the left.

    Args:
        header: A list of str.
        rows: A list of lists of str.

    Returns:
        str.
    """
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
