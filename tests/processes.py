"""Run programs in processes that have already imported the libraries.

Importing Keras, keras-hub and their dependencies takes ten seconds of a core,
far more than most programs of the tests. A server imports them once, without
keras_nc, and forks a process for every program. A program with another backend
gets a fresh interpreter. A forked program differs from a fresh one: it runs no
`atexit` handlers, and environment variables that libraries read at import are
those of this process.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref

SERVER = multiprocessing.get_context("forkserver")
# Fork before any computation, while the threads of the libraries wait.
SERVER.set_forkserver_preload(["keras_nlp", "numba"])
SECONDS = 600
_STARTED = weakref.WeakSet()


@atexit.register
def _kill_all():
    """End programs that failed tests left running."""
    for process in _STARTED:
        process.kill()


class Program:
    """A running program.

    Args:
        arguments: A list of str: `"-m"` and a module, or `"-c"` and code, and
            what else follows the name of the interpreter.
        folder: Where it runs; where this process does if `None`.
        environment: dict of str, on top of this process's.
    """

    def __init__(self, arguments, folder=None, environment=()):
        self._outputs = pathlib.Path(tempfile.mkdtemp())
        paths = [self._outputs / name for name in ("stdout", "stderr")]
        for path in paths:
            path.touch()  # it may be killed before it writes
        self._process = SERVER.Process(
            target=_run,
            args=(
                list(map(str, arguments)),
                str(folder or os.getcwd()),
                {**os.environ, **dict(environment)},
                paths,
            ),
        )
        self._process.start()
        _STARTED.add(self._process)

    @property
    def returncode(self):
        """The exit code, below 0 if a signal ended it; `None` if it runs."""
        return self._process.exitcode

    def poll(self):
        """Return the exit code, like `subprocess.Popen`."""
        return self.returncode

    def send_signal(self, number):
        """Send a signal."""
        if self._process.exitcode is None:
            os.kill(self._process.pid, number)

    def kill(self):
        """End it at once."""
        self._process.kill()

    def communicate(self, timeout=SECONDS):
        """Wait for the end; return standard output and standard error."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
            raise subprocess.TimeoutExpired("a program of a test", timeout)
        texts = [
            (self._outputs / name).read_text() for name in ("stdout", "stderr")
        ]
        shutil.rmtree(self._outputs)
        return tuple(texts)


def start(arguments, folder=None, environment=()):
    """Start `python` with arguments, by a fork if possible.

    Args:
        arguments: See `Program`.
        folder: See `Program`.
        environment: See `Program`.

    Returns:
        A `Program`, or a `subprocess.Popen` of the same methods.
    """
    environment = dict(environment)
    own = os.environ.get("KERAS_BACKEND")
    if environment.get("KERAS_BACKEND", own) == own:
        return Program(arguments, folder, environment)
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(arguments, folder=None, environment=(), timeout=SECONDS):
    """Run `python` with arguments to its end.

    Returns:
        A `subprocess.CompletedProcess`, its outputs as text.
    """
    process = start(arguments, folder, environment)
    out, error = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(
        arguments, process.returncode, out, error
    )


def _run(arguments, folder, environment, paths):
    """Be the program, in a forked process."""
    for number, path in enumerate(paths, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    kind, what, *sys.argv[1:] = arguments
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = "-c"
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
