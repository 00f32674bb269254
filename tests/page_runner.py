"""Run the examples of pages, each page in its folder and in its order.

    python -m tests.page_runner pages.json results.json

A page is `{"folder": str, "steps": [...]}`. A step is `{"python": source,
"file": str, "line": int}` or `{"command": [...], "environment": {...}}`.
Python steps of a page share a namespace; a command runs in a process of its
own. This is quick because Keras is imported only once. The result of a page is
`{"outputs": [...], "error": str}`. The output of a step is a list of
`[line, text]`: of each statement that printed, its last line and what it
printed; of a command, line 0 and its standard output.
"""

import ast
import contextlib
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import traceback

from tests import commands
from tests import processes


def run_python(source, file, line, namespace):
    """Run statement by statement, to separate their outputs."""
    outputs = []
    for statement in ast.parse(source, file).body:
        end = statement.end_lineno
        ast.increment_lineno(statement, line - 1)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            module = ast.Module([statement], [])
            exec(compile(module, file, "exec"), namespace)
        if printed.getvalue():
            outputs.append([end, printed.getvalue()])
    return outputs


def run_command(command, environment):
    """Run a command; its failure is an error of the page.

    A command without files runs once, even if several pages show it.
    """
    if set(command) & set(commands.WITHOUT_FILES):
        return run_once(tuple(command), tuple(environment.items()))
    return run_anew(command, environment)


@functools.cache
def run_once(command, environment):
    """Run a command that pages may share."""
    return run_anew(list(command), dict(environment))


def run_anew(command, environment):
    """Run a command in a process of its own."""
    if command[0] == sys.executable:
        result = processes.run(command[1:], environment=environment)
    else:
        result = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
    if result.returncode:
        raise RuntimeError(
            f"{command} ended with exit code {result.returncode}:\n"
            f"{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        )
    return [[0, result.stdout]]


def run_page(folder, steps):
    """Run the steps of a page; return its result."""
    os.chdir(folder)
    # Classes of examples are in the module of a script, as for users.
    namespace = {"__name__": "__main__"}
    outputs = []
    try:
        for step in steps:
            if "command" in step:
                outputs.append(run_command(**step))
            else:
                where = step["file"], step["line"]
                outputs.append(run_python(step["python"], *where, namespace))
    except BaseException:  # an example may exit, too
        return {"outputs": outputs, "error": traceback.format_exc()}
    return {"outputs": outputs, "error": ""}


def main():
    """Run all pages and write their results."""
    given, results = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    pages = [run_page(**page) for page in json.loads(given.read_text())]
    results.write_text(json.dumps(pages))


if __name__ == "__main__":
    main()
