"""The commands of `keras-nc`, and how they are run."""

import signal
import sys

import click

from keras_nc import __version__
from keras_nc.cli import PROGRAM
from keras_nc.cli.corpus import build
from keras_nc.cli.corpus import tokenize
from keras_nc.cli.encode import decode
from keras_nc.cli.encode import encode
from keras_nc.cli.errors import one_line_errors
from keras_nc.cli.errors import orderly_termination
from keras_nc.cli.explain import explain
from keras_nc.cli.generate import generate
from keras_nc.cli.generate import score
from keras_nc.cli.inspect import inspect
from keras_nc.cli.verify import verify


class _Commands(click.Group):
    def invoke(self, context):
        # Catch errors here, before click prints its own line on Ctrl-C.
        with one_line_errors(PROGRAM):
            return super().invoke(context)


@click.group(
    cls=_Commands,
    commands=[
        build,
        encode,
        decode,
        tokenize,
        inspect,
        verify,
        explain,
        generate,
        score,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
def commands():
    """Neurally compressed text: make codebooks, encode, decode, generate."""


def run(arguments):
    """Run the command with arguments, a list of str; return 0."""
    terminated = 128 + signal.SIGTERM
    with one_line_errors(PROGRAM), orderly_termination(code=terminated):
        if hasattr(sys.stdout, "reconfigure"):
            # Escape the characters that the terminal cannot show.
            sys.stdout.reconfigure(errors="backslashreplace")
        commands.main(
            arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False
        )
    return 0
