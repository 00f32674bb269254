"""Parse flags of recipes and benchmarks; errors use the names of flags."""

import argparse
import csv
import os
import pathlib
import sys

from keras_nc.cli.errors import one_line_errors
from keras_nc.cli.errors import option_names


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, by `one_line_errors`."""

    def error(self, message):
        """Raise a ValueError, which becomes the line."""
        raise ValueError(f"{message}. See --help.")


def say(text):
    """Print a message on standard error."""
    print(text, file=sys.stderr, flush=True)


def start(main, groups):
    """Parse flags and run a program; an error gives one line and code 2.

    Args:
        main: A function of the flags, a namespace.
        groups: dict from a title to flags: a dict from a name to the keywords
            of `add_argument`.

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
        values = parser.parse_args()
        with option_names(names):
            main(values)
        sys.exit(0)


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
