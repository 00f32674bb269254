"""Coverage-guided fuzzing of readers of files and ids, for any time.

    pip install atheris
    python -m tests.fuzz_loaders codebook_files -max_total_time=60

The first argument is a test of `tests.test_loaders` or `tests.test_any_ids`
without its `test_`; the others are libFuzzer's (`-help=1`), such as a folder
that keeps inputs. Atheris (Linux, x86-64) guides Hypothesis by the branches of
keras_nc that inputs take.
"""

import sys

import atheris

with atheris.instrument_imports(include=["keras_nc"]):
    import keras_nc  # noqa: F401

from tests import test_any_ids
from tests import test_loaders


def main():
    """Fuzz until libFuzzer's limits are reached or something fails."""
    targets = {
        name.removeprefix("test_"): value
        for module in (test_loaders, test_any_ids)
        for name, value in vars(module).items()
        if name.startswith("test_")
    }
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        print(f"{__doc__}\nTests: {', '.join(targets)}", file=sys.stderr)
        return 2
    target = targets[sys.argv.pop(1)]
    # Most short inputs are too short for a test to begin.
    options = [sys.argv[0], "-len_control=0", "-max_len=4096", *sys.argv[1:]]
    atheris.Setup(options, target.hypothesis.fuzz_one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
