"""Pages of Markdown: their fenced blocks, and the outputs that they quote."""

import ast
import dataclasses
import io
import re
import textwrap
import tokenize

FENCE = re.compile(r"^( *)(```+|~~~+)[ ]*(.*?)[ ]*$")
HEXADECIMAL = re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{12,}\b")
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
RULER = re.compile(r"([-=\u2500\u2501])\1+")


@dataclasses.dataclass
class Block:
    """A fenced block.

    Attributes:
        language: str. What follows the opening fence.
        text: str. The lines between the fences.
        line: int. Number of the first of them, from 1.
        quoted: str or `None`. The `text` block right below a block of
            another language: what it prints.
    """

    language: str
    text: str
    line: int
    quoted: str | None = None


def read_blocks(text):
    """Find the fenced blocks of a page; return a list of `Block`.

    A block that quotes the output of the one above is not in the list.
    """
    blocks, lines, opening, between = [], [], None, True
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opening is None and fence:
            opening, lines = fence, []
            first = number + 1
        elif opening is None:
            between = between or bool(line.strip())
        elif fence and not fence[3] and fence[2].startswith(opening[2]):
            content = textwrap.dedent("\n".join(lines) + "\n")
            if opening[3] == "text" and not between:
                blocks[-1].quoted = content
            else:
                blocks.append(Block(opening[3], content, first))
            between = opening[3] == "text"
            opening = None
        else:
            lines.append(line)
    assert opening is None, f"the block at line {first} has no end"
    return blocks


def commands_of(block):
    """Return the commands of a `sh` block, comments included."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def quoted_comments(source):
    """Find comments that may quote an output; return texts by line.

    They are at the end of a line, or lines of their own right below one. The
    key is the line of code that they belong to.
    """
    comments, code = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("#").strip()
        elif token.string.strip():
            code.update(range(token.start[0], token.end[0] + 1))
    quoted, owner = {}, None
    for number in range(1, len(source.splitlines()) + 1):
        if number in code:
            owner = number
        elif number not in comments:
            owner = None
        if number in comments and owner:
            quoted[owner] = f"{quoted.get(owner, '')} {comments[number]}"
    return quoted


def print_lines(source):
    """Return the last lines of top-level statements that call `print`."""
    return {
        node.end_lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", None) == "print"
    }


def shape(text):
    """Return an output without its figures, which may differ between runs."""
    text = NUMBER.sub("0", HEXADECIMAL.sub("0", text))
    return " ".join(RULER.sub(r"\1", text).split())


def same_shape(quoted, printed):
    """Return whether an output is as quoted; `...` stands for any lines."""
    parts = re.split(r"^\s*\.\.\.\s*$", quoted, flags=re.MULTILINE)
    pattern = ".*".join(re.escape(shape(part)) for part in parts)
    return re.fullmatch(pattern, shape(printed), re.DOTALL) is not None
