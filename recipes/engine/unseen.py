"""Text of another kind than the training text, to score models on."""

import importlib.util
import pathlib
import zipfile

from keras_nc.data import read_documents

#: The name of the Lee background corpus: 300 news stories, 0.36 MB.
LEE = "lee"
_MEMBER = "gensim/test/test_data/lee_background.cor"
_WHEELS = "gensim-*.whl"


def unseen_documents(patterns, text_key):
    """Iterate over documents of files, or of the Lee background corpus.

    Args:
        patterns: tuple of str, patterns of files, possibly none; or `("lee",)`.
        text_key: str. Key of the text in JSON lines.

    Returns:
        An iterator of bytes.

    Raises:
        ValueError: If there is no such file.
    """
    if not patterns:
        return iter(())
    if patterns == (LEE,):
        return iter(lee_background())
    return read_documents(patterns, text_key)


def lee_background(folder="."):
    """Read the Lee background corpus, which gensim has for its tests.

    Args:
        folder: Where a wheel of gensim may be, if gensim is not installed.

    Returns:
        A list of bytes, one for each story.

    Raises:
        ValueError: If there is neither.
    """
    installed = gensim_folder()
    wheels = sorted(pathlib.Path(folder).glob(_WHEELS))
    if installed is not None:
        content = installed.joinpath(_MEMBER).read_bytes()
    elif wheels:
        try:
            with zipfile.ZipFile(wheels[-1]) as wheel:
                content = wheel.read(_MEMBER)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(
                f"{wheels[-1]} must be a wheel of gensim. Received: a file "
                f"without {_MEMBER} ({error}). Download it again."
            ) from error
    else:
        raise ValueError(
            "The Lee background corpus comes with gensim. Received: no gensim, "
            f"and no {_WHEELS} in this folder. Run `pip download gensim "
            "--no-deps` here."
        )
    return [line for line in content.splitlines() if line.strip()]


def gensim_folder():
    """Return where gensim is installed, without its import, or `None`."""
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.origin:
        return None
    return pathlib.Path(spec.origin).parents[1]
