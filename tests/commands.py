"""Turn the commands on the pages into commands that tests run.

Set-up commands are checked, not run. Recipes run with the smallest
configuration. Unknown commands are errors.
"""

import pathlib
import pydoc_data.topics
import re
import shlex
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = pathlib.Path(sys.executable).parent
#: Flags that make recipes small. Other recipes take a configuration.
SMALL = {
    "show_collision": {},
    "time_training": {"config": "smoke", "steps": "2"},
    "draw_windows": {"window_bits": "10", "max_bytes": "1000000"},
    "compare_tokenizers": {
        "config": "smoke",
        "seeds": "1",
        "tokenizers": "phrases",
        "sizes": "own",
        "ids": "512",
        "tokens": "1k",
        "m2_training.batch_size": "4",
        "m2_training.sequence_length": "64",
    },
}
SMALL["reproduce"] = {
    "experiment": "bytes",
    "compressor": "counts",
    "size": "tiny",
    "tokens": "2k",
    "workers": "1",
    "m2.num_layers": "1",
    "train_bytes": "60000",
    "held_out_bytes": "9000",
    "probe_bytes": "3000",
}
SMALL["reproduce_report"] = {}
SMALL["analyses.prices"] = {
    "prices": "2",
    "window_bits": "9",
    "max_bytes": "1M",
}
SMALL["analyses.stability"] = {"experiment": "bytes", "words": "4"}
SMOKE = {"config": "smoke"}
#: Recipes without files, whose output several pages show.
WITHOUT_FILES = ("recipes.show_collision",)
#: Test files in the place of the reader's own files.
GIVEN = {
    "data": "sample/*.txt",
    "held_out": "held_out.txt",
    "unseen": "held_out.txt",
}
#: Flags whose files are moved to the temporary folder.
OUTPUTS = ("workdir", "workdirs", "output")
#: Features of shells that the runner lacks.
SHELL = re.compile(r"[|<>;&`$*~]")
PROGRAM = r"(?:\.venv/bin/)?"


def plan(command):
    """Turn a command into arguments for the test.

    Args:
        command: str. One line, comments and all.

    Returns:
        A pair of the arguments, a list of str, and the environment, a dict;
        `None` for a set-up command, after it has been checked.

    Raises:
        AssertionError: If nobody knows the command, or a check fails.
    """
    words = shlex.split(command, comments=True)
    environment = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, environment[name] = words.pop(0).partition("=")
    for pattern, check in SETUP.items():
        if re.fullmatch(pattern, words[0]):
            check(words, command)
            return None
    program = re.sub(f"^{PROGRAM}", "", words[0])
    if program == "python" and words[1] == "-m":
        recipe = re.fullmatch(r"recipes\.([\w.]+)", words[2])
        assert recipe, f"not a recipe: {command}"
        file = ROOT / f"{words[2].replace('.', '/')}.py"
        assert file.is_file(), command
        flags = reduce_flags(words[3:], SMALL.get(recipe[1], SMOKE))
        return [sys.executable, "-m", words[2], *flags], environment
    assert program == "keras-nc", f"unknown command: {command}"
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", command)
    assert not SHELL.search(unquoted), f"one plain command, please: {command}"
    return [str(SCRIPTS / program), *words[1:]], environment


def reduce_flags(words, small):
    """Return the flags of a recipe in a small setting.

    Args:
        words: A list of str, the flags on the page.
        small: A dict of the flags that make it small.

    Returns:
        A list of str.
    """
    flags, rest = {}, list(words)
    while rest:
        name, equals, value = rest.pop(0).removeprefix("--").partition("=")
        takes_next = not equals and rest and not rest[0].startswith("--")
        flags[name] = rest.pop(0) if takes_next else (value if equals else None)
    for name in flags.keys() & GIVEN.keys():
        if flags[name] != "default":
            flags[name] = GIVEN[name]
    for name in flags.keys() & set(OUTPUTS):
        flags[name] = pathlib.PurePath(flags[name]).name
    flags.update(small)
    return [
        f"--{name}" if value is None else f"--{name}={value}"
        for name, value in flags.items()
    ]


def needs_files(command):
    """Return whether a command, a list of str, takes files of `prepare`."""
    names = ("sample/", "held_out.txt", "text.txt", "codebook.npz")
    return any(name in word for word in command for name in names)


def prepare(folder):
    """Write the files that commands on the pages need."""
    from keras_nc.coding import Codebook
    from keras_nc.entropy_models import NGramModel

    topics = pydoc_data.topics.topics
    text = "\n".join(topics[name] for name in sorted(topics)).encode()[:400_000]
    (folder / "sample").mkdir()
    # Many, because recipes hold out one document in 32, by its hash.
    for start in range(0, len(text), 1000):
        path = folder / "sample" / f"{start:06d}.txt"
        path.write_bytes(text[start : start + 1000])
    (folder / "held_out.txt").write_bytes(text[:20_000])
    (folder / "text.txt").write_bytes(text)
    codebook = Codebook.paper(NGramModel.from_text(text), window_bits=12)
    codebook.save(folder / "codebook.npz")


def check_pip(words, command):
    """Check that an installation names existing extras, also in comments."""
    assert words[1:3] == ["install", "-e"] and words[3].startswith("."), command
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(re.findall(r"\[([\w,]+)\]", command))
    known = set(project["optional-dependencies"])
    assert set(filter(None, extras.split(","))) <= known, command
    options = {word for word in words[4:] if word.startswith("-")}
    assert options <= {"--extra-index-url", "--index-url"}, command


def check_make(words, command):
    """Check that the Makefile has the target and commands for it."""
    makefile = (ROOT / "Makefile").read_text()
    for target in (word for word in words[1:] if "=" not in word):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.M), command
    result = subprocess.run(
        ["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def check_clone(words, command):
    """Check that the command clones this project."""
    assert words[1] == "clone" and len(words) == 3, command
    assert re.search(r"/keras[-_]nc(\.git)?$", words[2]), command


def check_folder(words, command):
    """Check that the folder is the one that cloning makes."""
    assert re.fullmatch(r"keras[-_]nc", words[1]), command


def check_activate(words, command):
    """Check that the environment is where the Makefile puts it."""
    assert words[1:] == [".venv/bin/activate"], command
    assert "VENV ?= .venv\n" in (ROOT / "Makefile").read_text()


#: Commands that set up, by their first word.
SETUP = {
    rf"{PROGRAM}pip": check_pip,
    "make": check_make,
    "git": check_clone,
    "cd": check_folder,
    r"source|\.": check_activate,
}
