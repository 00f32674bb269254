"""Our docstrings' sections as Griffe wants them.

By keras's habit an example is not indented below its `Example:`, which Griffe
would take for prose, and Markdown for quotations and links.
"""

import re

import griffe

EXAMPLE = re.compile(r"^Example:\n((?:.*\n)*?)(?=^[A-Z][a-z ]+:$|\Z)", re.M)
CALL_ARGUMENTS = re.compile(r"^Call arguments:$", re.M)


class Sections(griffe.Extension):
    """Rewrites sections before docstrings are parsed."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite the sections of one object."""
        if obj.docstring:
            text = CALL_ARGUMENTS.sub(
                "Other Parameters: Call arguments:", obj.docstring.value
            )
            obj.docstring.value = EXAMPLE.sub(indent_example, text + "\n")


def indent_example(match):
    """Return an example's section, its lines indented."""
    return "Examples:\n" + re.sub(r"^(?=.)", "    ", match[1], flags=re.M)
