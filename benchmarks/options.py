"""Options that the benchmarks share, and what a run was like."""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import sys

from keras_nc.cli.errors import one_line_errors

#: Vocabularies of 2^W ids.
WINDOW_BITS = 16
QUICK_WINDOW_BITS = 10
QUICK_BYTES = 300_000


def start(run, description, **extra):
    """Parse options and run a benchmark; one line for what is wrong.

    Args:
        run: A function of the options.
        description: str. The benchmark in one sentence.
        **extra: Options by name, as keywords of `add_argument`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="FILE",
        help="Text to learn from; by default the default corpus.",
    )
    parser.add_argument(
        "--held-out",
        nargs="+",
        default=[],
        metavar="FILE",
        help="Text to measure on; by default what the default corpus holds "
        "out.",
    )
    parser.add_argument(
        "--max-bytes", type=int, help="Most bytes to learn from."
    )
    parser.add_argument(
        "--quick", action="store_true", help="Little text, small vocabularies."
    )
    for name, keywords in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    options = parser.parse_args()
    options.window_bits = WINDOW_BITS
    if options.quick:
        options.window_bits = QUICK_WINDOW_BITS
        options.max_bytes = options.max_bytes or QUICK_BYTES
    with one_line_errors(pathlib.Path(sys.argv[0]).stem):
        run(options)


def say(text):
    """Tell what happens, on standard error."""
    print(text, file=sys.stderr, flush=True)


def conditions(*packages):
    """The machine and the versions, one line."""
    versions = [f"{p} {importlib.metadata.version(p)}" for p in packages]
    return ", ".join(
        [
            f"{_processor()} ({os.cpu_count()} cores)",
            f"{platform.system()}, Python {platform.python_version()}",
            *versions,
        ]
    )


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()
