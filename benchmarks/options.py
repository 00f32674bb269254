"""Options that the benchmarks share, and a line on machine and versions."""

import os
import platform

from recipes import flags
from recipes.engine import machine

#: Vocabularies of 2^W ids.
WINDOW_BITS = 16
QUICK_WINDOW_BITS = 10
QUICK_BYTES = 300_000


TEXT = {
    "data": {
        "nargs": "+",
        "default": [],
        "metavar": "FILE",
        "help": "Text to learn from, by default the default corpus.",
    },
    "held-out": {
        "nargs": "+",
        "default": [],
        "metavar": "FILE",
        "help": "Text to measure on, by default what the default corpus holds "
        "out.",
    },
    "max-bytes": {
        "type": flags.at_least(1),
        "metavar": "N",
        "help": "Most bytes to learn from.",
    },
}
QUICK = {
    "quick": {
        "action": "store_true",
        "help": "Little text, small vocabularies.",
    }
}


def start(run, takes_text=True, **own):
    """Parse options and run a benchmark; print errors in one line.

    Args:
        run: A function of the options.
        takes_text: bool. Whether the benchmark learns from text.
        **own: The benchmark's own options, as keywords of `add_argument`.
    """

    def run_with(options):
        options.window_bits = WINDOW_BITS
        if options.quick:
            options.window_bits = QUICK_WINDOW_BITS
            if takes_text:
                options.max_bytes = options.max_bytes or QUICK_BYTES
        run(options)

    own = {name.replace("_", "-"): keywords for name, keywords in own.items()}
    groups = {"this benchmark": {**own, **QUICK}}
    if takes_text:
        groups["the text"] = TEXT
    flags.start(run_with, groups)


def conditions(*packages):
    """Describe the machine and the versions in one line."""
    versions = machine.versions(*packages).items()
    return ", ".join(
        [
            f"{machine.processor()} ({os.cpu_count()} cores)",
            f"{platform.system()}, Python {platform.python_version()}",
            *(f"{name} {version}" for name, version in versions),
        ]
    )
