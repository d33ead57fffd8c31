"""The tokens of the text format, as regular expressions.

Spaces and letters are ASCII's. None of the expressions can take more than linear time: what may repeat inside a
repetition begins with a character that cannot end what came before it.
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
"""Spaces and comments."""

TRAIL = re.compile(_TRAIL, _FLAGS)
"""What belongs to the value before it: a separator and a comment on the same line."""

HEAD = re.compile(r"(?:[ \t]*\#[^\n]*)?", _FLAGS)
"""What belongs to the opening brace before it: a comment on the same line."""

SCALAR = re.compile(rf"(?:{_STRING})(?:{_TRIVIA}(?:{_STRING}))* | {_WORD}", _FLAGS)
"""A value that is no message: adjacent strings are one."""

NAME = re.compile(r"[A-Za-z_]\w*|\[\s*[\w.%/\-~]+(?:\s*[./]\s*[\w.%\-~]+)*\s*\]", _FLAGS)
"""A field's name, also an extension's or a type's address in brackets."""

JUNK = re.compile(r"""[^\s\w"'{}<>\[\]\#:;,]+|[\w.+\-]+|.""", _FLAGS | re.DOTALL)
"""What to step over after an error."""

NAME_GROUP, OPEN, VALUE, CLOSE, OTHER = 1, 3, 4, 5, 6
"""Groups of ITEM; its `lastindex` tells what it found, None the end of the file."""

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
"""One step of the reader: a whole plain field, an opening or closing brace, or one other character."""
