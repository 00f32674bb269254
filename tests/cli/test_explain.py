import pytest

from keras_nc.cli.display import printable
from keras_nc.cli.explain import mark_windows


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
