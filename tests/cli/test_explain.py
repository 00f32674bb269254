import html.parser
import os
import shutil
import subprocess

import matplotlib.image
import pytest

from keras_nc.cli.display import printable
from keras_nc.cli.display import signs
from keras_nc.cli.explain import mark_windows
from keras_nc.tokenizers import train_sentencepiece


def test_windows_codes_and_bits(run, folder, uniform):
    uniform.save("uniform.npz")
    code, out, err = run("explain", "ab|\\", "--with", "uniform.npz")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "a|b|\\||\\\\"
    rows = [line.split() for line in lines]
    low, _ = uniform.prefix_range(b"b")
    assert [str(low), "10", "1", '"b"', f"{low:010b}"] in rows
    assert lines[-1] == (
        "4 bytes in 4 windows of 10 bits: 1.000 bytes/window, 10.000 bits/byte"
    )


def test_totals(run, folder, codebook):
    text = "the value of the  statement " * 10
    size, windows = len(text), len(codebook.encode(text.encode()))
    _, out, _ = run("explain", text, "--with", "book.npz", "--top", "2")
    marked = out.splitlines()[0]
    assert marked.replace("|", "") == text
    assert marked.count("|") == windows - 1
    assert f"... and {windows - 2} more; --top shows more rows." in out
    assert f"{size / windows:.3f} bytes/window" in out
    assert f"{11 * windows / size:.3f} bits/byte" in out


def test_any_bytes_of_a_file(run, folder):
    folder.joinpath("bytes").write_bytes(bytes(range(256)))
    code, out, _ = run("explain", "--file", "bytes", "--with", "book.npz")
    assert code == 0
    assert "\\x00" in out and "\\xff" in out
    assert "256 bytes in " in out


def test_tokens_of_bytes(run, folder, presets):
    code, out, err = run("explain", "hi", "--with", presets / "m1")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["107", "8.017", "1", '"h"'] in rows
    assert out.splitlines()[-1].startswith("2 bytes in 2 tokens of 8.0168 ")


def test_nothing(run, folder):
    code, out, _ = run("explain", "", "--with", "book.npz")
    assert (code, out) == (0, "0 bytes in 0 windows of 11 bits\n")


def test_colours_alternate_and_need_no_bars():
    marked = mark_windows([b"a|", b"b", b"c"], colours=True)
    assert marked.plain == "a|bc"
    first, second, third = (span.style for span in marked.spans)
    assert first == third != second


@pytest.mark.parametrize("colours", [True, False])
def test_markup_is_text(colours):
    assert "[bold]" in mark_windows([b"[bold]"], colours).plain


def test_printable_is_one_line():
    assert printable("ä \n\t\x1b\u2028".encode()) == ("ä \\n\\t\\x1b\\u2028")
    assert printable(b"\xc3") == "\\xc3"
    assert printable(b"\\xc3") == "\\\\xc3"


NASTY = (
    b"<script>document.title='bad'</script> & \"quotes\" '\n\t\x00\x1b[1m\xff"
    + "é \u202e\u05d0 🐚 </p>--> &amp; {braces}\r\n".encode()
)


def read_tokens(page):
    """The tokens' texts and descriptions on a page, as a parser sees them."""
    found, inside = [], False

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            nonlocal inside
            assert tag not in ("script", "img", "link", "a"), tag
            if tag == "b":
                inside = True
                found.append(["", dict(attributes)["data-token"]])

        def handle_endtag(self, tag):
            nonlocal inside
            inside = inside and tag != "b"

        def handle_data(self, data):
            if inside:
                found[-1][0] += data

    Reader().feed(page)
    return found


def expected_tokens(codebook, text):
    windows = [codebook.token_bytes(i) for i in codebook.encode(text)]
    return ["".join(signs(w)).replace("⏎", "⏎\n") for w in windows]


def test_a_page_holds_every_byte(run, folder, codebook):
    folder.joinpath("bytes").write_bytes(NASTY + bytes(range(256)))
    command = ["explain", "--file", "bytes", "--with", "book.npz", "--html"]
    code, out, err = run(*command, "page.html")
    assert (code, err) == (0, "")
    assert out.startswith("page.html: ")
    page = folder.joinpath("page.html").read_text("utf-8")
    text = folder.joinpath("bytes").read_bytes()
    tokens = read_tokens(page)
    assert [t for t, _ in tokens] == expected_tokens(codebook, text)
    about = [lines.split("\n") for _, lines in tokens]
    digits = "".join(lines[1].removeprefix("bytes") for lines in about)
    assert bytes.fromhex(digits) == text
    codes = [int(lines[2].split()[1]) for lines in about]
    assert codes == codebook.encode(text).tolist()
    assert "http" not in page.replace("http-equiv", "")
    assert run(*command, "-")[1] == page
    assert run(*command, "page.html")[0] == 2, "it exists"
    assert run(*command, "page.html", "--force")[0] == 0
    assert run(*command, "book.npz", "--force")[0] == 2, "the codebook"


def test_a_page_compares_with_sentencepiece(run, folder, text):
    pieces = train_sentencepiece([text[:50_000]], 400, "bpe")
    folder.joinpath("p.model").write_bytes(pieces.scheme.proto)
    command = ["explain", "the value", "--with", "book.npz"]
    code, page, err = run(*command, "--html", "-", "--pieces", "p.model")
    assert (code, err) == (0, "")
    assert "<h2>Windows" in page and "<h2>Pieces" in page
    ids = pieces("the value").tolist()
    texts = [pieces.id_to_token(i).decode() for i in ids]
    assert [t for t, _ in read_tokens(page)][-len(ids) :] == texts
    assert run(*command, "--pieces", "p.model")[0] == 2, "no page"


@pytest.mark.skipif(
    not shutil.which("chromium") or "CI" in os.environ,
    reason="needs Debian's chromium, and seconds",
)
def test_a_browser_shows_the_page(run, folder, codebook):
    folder.joinpath("bytes").write_bytes(NASTY)
    run("explain", "--file=bytes", "--with=book.npz", "--html=page.html")
    result = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'browser'}",
            f"--screenshot={folder / 'page.png'}",
            "--dump-dom",
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        timeout=300,
    )
    seen = result.stdout.decode()
    assert "<title>A text in windows</title>" in seen, result.stderr
    shown = [text for text, _ in read_tokens(seen)]
    assert shown == expected_tokens(codebook, NASTY)
    image = matplotlib.image.imread(folder / "page.png")
    pixels = (image[..., :3] * 255).round().astype(int).reshape(-1, 3)
    colours = set(map(tuple, pixels.tolist()))
    assert {(0xBC, 0xDC, 0xF0), (0xFB, 0xE3, 0xB4)} <= colours
