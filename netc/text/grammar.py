"""The tokens of the text format, as regular expressions.

Whitespace and letters are ASCII. Every expression matches in linear time: whatever may repeat inside a repetition
starts with a character that cannot end the preceding part.
"""

from __future__ import annotations

import re

_TRIVIA = r"\s*(?:\#[^\n]*(?:\n\s*|\Z))*"
_STRING = r""" "[^"\\\n]*(?:\\[^\n][^"\\\n]*)*" | '[^'\\\n]*(?:\\[^\n][^'\\\n]*)*' """
_NUMBER = r"(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?)"
_WORD = rf"(?:-\s*)?(?:{_NUMBER}|[A-Za-z_]\w*)(?![\w.+\-])"
_TRAIL = r"(?:[ \t]*[;,])?(?:[ \t]*\#[^\n]*)?"

_FLAGS = re.ASCII | re.VERBOSE

TRIVIA = re.compile(_TRIVIA, _FLAGS)
"""Whitespace and comments."""

TRAIL = re.compile(_TRAIL, _FLAGS)
"""What belongs to the value before it: a separator and a comment on the same line."""

HEAD = re.compile(r"(?:[ \t]*\#[^\n]*)?", _FLAGS)
"""What belongs to the opening brace before it: a comment on the same line."""

SCALAR = re.compile(rf"(?:{_STRING})(?:{_TRIVIA}(?:{_STRING}))* | {_WORD}", _FLAGS)
"""A value that is not a message; adjacent strings are one scalar."""

NAME = re.compile(r"[A-Za-z_]\w*|\[\s*[\w.%/\-~]+(?:\s*[./]\s*[\w.%\-~]+)*\s*\]", _FLAGS)
"""A field name, or the name of an extension or the URL of a type in brackets."""

JUNK = re.compile(r"""[^\s\w"'{}<>\[\]\#:;,]+|[\w.+\-]+|.""", _FLAGS | re.DOTALL)
"""What is skipped after an error."""

NAME_GROUP, OPEN, VALUE, CLOSE, OTHER = 1, 3, 4, 5, 6
"""Groups of ITEM; `lastindex` is the group that matched, None at the end of the file."""

ITEM = re.compile(
    rf"""
    {_TRIVIA}
    (?:
        ([A-Za-z_]\w*) \s* (:\s*)?
        (?: ([{{<]) (?:[ \t]*\#[^\n]*)?
        |   (?(2) ({_STRING}|{_WORD}) {_TRAIL} | (?!) )
        )
    |   ([}}>]) {_TRAIL}
    |   (.)
    |   \Z
    )
    """,
    _FLAGS | re.DOTALL,
)
"""One step of the parser: a complete scalar field, an opening or closing brace, or any other single character."""
