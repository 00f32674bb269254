"""The console command `keras-nc`."""

import sys

import click

from keras_nc import __version__
from keras_nc.cli.decode import decode
from keras_nc.cli.encode import encode
from keras_nc.cli.errors import one_line_errors
from keras_nc.cli.explain import explain
from keras_nc.cli.generate import generate
from keras_nc.cli.inspect import inspect
from keras_nc.cli.score import score

PROGRAM = "keras-nc"


class _Commands(click.Group):
    def invoke(self, context):
        # Here, because click prints a line of its own on Ctrl-C.
        with one_line_errors(PROGRAM):
            return super().invoke(context)


@click.group(
    cls=_Commands,
    commands=[encode, decode, inspect, explain, generate, score],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
def commands():
    """Neurally compressed text: encode, decode, look at it, generate."""


def main(arguments=None):
    """Run the command.

    Args:
        arguments: list of str; those of the process if `None`.

    Returns:
        The exit code 0.

    Raises:
        SystemExit: with another exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if hasattr(sys.stdout, "reconfigure"):
        # Text is shown even where the terminal cannot show all of it.
        sys.stdout.reconfigure(errors="backslashreplace")
    with one_line_errors(PROGRAM):
        commands.main(
            arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False
        )
    return 0
