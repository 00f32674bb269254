"""The console command `keras-nc`."""

import sys

PROGRAM = "keras-nc"


def main(arguments=None):
    """Run the command.

    Args:
        arguments: list of str; those of the process if `None`.

    Returns:
        The exit code 0.

    Raises:
        SystemExit: with another exit code.
    """
    try:
        # Import here, because Ctrl-C may come during imports.
        from keras_nc.cli.commands import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr or sys.__stderr__)
        sys.exit(130)
