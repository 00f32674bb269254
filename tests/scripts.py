"""Run code in a fresh process, as a user would."""

import os
import subprocess
import sys
import textwrap

WITHOUT_TENSORFLOW = """
    import sys
    sys.modules["tensorflow"] = None
    sys.modules["tensorflow_text"] = None
"""


def run_script(code, backend=None, tensorflow=True):
    """Run code in a new interpreter; return what it printed.

    Args:
        code: str. Python code, indented as one likes.
        backend: str. Keras backend; this process's if `None`.
        tensorflow: bool. Whether TensorFlow can be imported.
    """
    environment = dict(os.environ)
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    if not tensorflow:
        code = textwrap.dedent(WITHOUT_TENSORFLOW) + textwrap.dedent(code)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout
