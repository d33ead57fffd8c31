"""The words of messages: numbers with their nouns, suggestions, and text that cannot control a terminal."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    >>> [counted(n, noun) for n, noun in ((1, "top"), (2, "top"), (0, "axis"), (3, "class"), (2, "param entry"))]
    ['1 top', '2 tops', '0 axes', '3 classes', '2 param entries']
    """
    return f"{count} {noun if count == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    for ending, plural in (("is", "es"), ("ss", "sses"), ("x", "xes"), ("ry", "ries"), ("ty", "ties")):
        if noun.endswith(ending):
            return noun.removesuffix(ending) + plural
    return f"{noun}s"


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return a help text that names the most similar candidate, None if none is similar.

    >>> did_you_mean("Poling", ["Pooling", "ReLU"])
    'did you mean `Pooling`?'
    """
    known = {c.lower(): c for c in candidates}
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return f"did you mean `{known[near[0]]}`?" if near else None


def visible(text: str, keep: str = "") -> str:
    r"""Return a text that cannot control a terminal: characters that are not printable are escaped, except `keep`.

    Names in files are not trusted: ESC starts a terminal's commands, CR and line ends forge lines of tables and logs.

    >>> print(visible("a\x1b[2J\nb"))
    a\x1b[2J\x0ab
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code & 0xFF:02x}" if code < 0x100 or 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
