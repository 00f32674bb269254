"""Run code in a process of its own, as a user would."""

import os
import subprocess
import sys
import textwrap

from tests import processes

WITHOUT_TENSORFLOW = """
    import sys
    sys.modules["tensorflow"] = None
    sys.modules["tensorflow_text"] = None
"""


def run_script(code, backend=None, tensorflow=True, bare=False):
    """Run code in a new process; return its output.

    Args:
        code: str. Python code, indented as one likes.
        backend: str. Keras backend; this process's if `None`.
        tensorflow: bool. Whether TensorFlow can be imported.
        bare: bool. Whether the process begins without imports. Otherwise it has
            Keras and keras-hub; see `tests.processes`.
    """
    environment = dict(os.environ)
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    if not tensorflow:
        code = textwrap.dedent(WITHOUT_TENSORFLOW) + textwrap.dedent(code)
    arguments = ["-c", textwrap.dedent(code)]
    if tensorflow and not bare:
        result = processes.run(arguments, environment=environment)
    else:
        result = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout
