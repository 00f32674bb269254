"""Parse flags of recipes and benchmarks; errors use the names of flags."""

import argparse
import csv
import math
import os
import pathlib
import sys
import textwrap

from keras_nc.cli.errors import one_line_errors
from keras_nc.cli.errors import option_names
from recipes.engine.overrides import describe_fields
from recipes.engine.overrides import take_overrides


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, by `one_line_errors`."""

    def error(self, message):
        """Raise a ValueError, which becomes the line."""
        raise ValueError(f"{message}. See --help.")


def say(text):
    """Print a message on standard error."""
    print(text, file=sys.stderr, flush=True)


def start(main, groups, config_class=None):
    """Parse flags and run a program; an error gives one line and code 2.

    Args:
        main: A function of the flags, a namespace.
        groups: dict from a title to flags: a dict from a name to the keywords
            of `add_argument`.
        config_class: The dataclass of a configuration whose fields are flags,
            too; the namespace then has `overrides`, a dict from paths to str.
            `None` if there are no such flags.

    Raises:
        SystemExit: always.
    """
    program = pathlib.Path(sys.argv[0]).stem
    with one_line_errors(program):
        script = sys.modules["__main__"]
        spec = script.__spec__
        parser = Parser(
            usage=f"python -m {spec.name if spec else program} [flags]",
            description=script.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        names = {}
        for title, flags in groups.items():
            group = parser.add_argument_group(title)
            for name, keywords in flags.items():
                names[name.replace("-", "_")] = f"--{name}"
                group.add_argument(f"--{name}", **keywords)
        words = sys.argv[1:]
        if config_class is not None:
            overrides, words = take_overrides(words, config_class)
            parser.epilog = _describe_overrides(config_class)
        values = parser.parse_args(words)
        if config_class is not None:
            values.overrides = overrides
        with option_names(names):
            main(values)
        sys.exit(0)


def _describe_overrides(config_class):
    """Return the end of `--help`: the flags of a configuration."""
    lines = ["flags that override the configuration, with one value each:"]
    for section, names in describe_fields(config_class):
        text = f"--{section}.FIELD: {names}" if section else f"--{names}"
        lines += textwrap.wrap(
            text.replace(", ", ", --") if not section else text,
            78,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    return "\n".join(lines)


def at_least(minimum):
    """Return a flag type for integers from `minimum` on."""

    def integer(text):
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"must be at least {minimum}. Received: {value}"
            )
        return value

    return integer


def positive(text):
    """Read a positive number; a flag type."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive. Received: {text}")
    return value


def amount(text):
    """Read a number of tokens such as 500k, 32.8M or 2B; a flag type."""
    letters = {"k": 1e3, "m": 1e6, "b": 1e9}
    scale = letters.get(text[-1:].lower())
    value = float(text[:-1]) * scale if scale else float(text)
    if not 1 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be at least 1, as in 32.8M. Received: {text}"
        )
    return round(value)


class Patterns(argparse.Action):
    """Collect paths and glob patterns in a tuple; commas may separate them."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Set the tuple."""
        patterns = []
        for value in values:
            # A comma may belong to the name of a file.
            is_one = os.path.exists(value)
            parts = [value] if is_one else next(csv.reader([value]), [])
            patterns += filter(None, parts)
        if not patterns:
            parser.error(f"argument {option_string}: must name a file")
        setattr(namespace, self.dest, tuple(patterns))
