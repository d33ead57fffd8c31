"""Parses and formats the strings and numbers of the text format."""

from __future__ import annotations

import re
import struct

_ESCAPE = re.compile(
    rb"\\(?:([abfnrtv\\'\"?])|([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]?))"
)
_SIMPLE = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
}  # fmt: skip
_LITERAL = re.compile(r"""#[^\n]*|"((?:[^"\\]|\\[\s\S])*)"|'((?:[^'\\]|\\[\s\S])*)'""")
_INTEGER = re.compile(r"(?P<sign>-?)\s*(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]+)|(?P<decimal>[0-9]+))", re.ASCII)
_FLOAT = re.compile(r"-?\s*(?!0[0-9])(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?", re.ASCII)
_NAMED_FLOAT = re.compile(r"(?P<sign>-?)\s*(?:(?P<inf>inf(?:inity)?)|nan)f?", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[^ -~]|[\\\"']")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "'": "\\'", "\\": "\\\\"}


def unquote(raw: str) -> bytes:
    r"""Return the bytes of a string literal; adjacent strings are concatenated.

    Raises ValueError with the escape sequence if it is invalid.

    >>> unquote('"a\\x41" \'b\'')
    b'aAb'
    """
    if "\\" not in raw and raw.find(raw[0], 1) == len(raw) - 1:
        return _bytes(raw[1:-1])
    return b"".join(
        _ESCAPE.sub(_unescape, _bytes(match[1] if match[1] is not None else match[2]))
        for match in _LITERAL.finditer(raw)
        if match.lastindex
    )


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate") from None


def _unescape(match: re.Match[bytes]) -> bytes:
    simple, octal, hexadecimal, short, long, wrong = match.groups()
    if simple is not None:
        return _SIMPLE.get(simple, simple)
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None and int(octal, 8) < 256:
        return bytes([int(octal, 8)])
    code = int(short or long or b"110000", 16)
    if wrong is not None or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(match[0].decode("utf-8", "replace"))
    return chr(code).encode()


def looks_like_windows_path(text: str) -> bool:
    r"""Whether a text begins with a drive, or a directory, and a backslash.

    >>> [looks_like_windows_path(path) for path in (r"D:\net.prototxt", r".\net", r"a\x")]
    [True, True, False]
    """
    return bool(_WINDOWS.match(text))


def with_slashes(raw: str) -> str:
    r"""The literal of a path with slashes in place of backslashes; two backslashes may stand for one.

    >>> print(with_slashes(r'"D:\data\\net"'))
    "D:/data/net"
    """
    return raw.replace("\\\\", "/").replace("\\", "/")


_WINDOWS = re.compile(r"(?:[A-Za-z]:|\.{1,2}|\\)\\")


def quote(value: str | bytes) -> str:
    r"""Return a value in double quotes, as protobuf prints it: non-ASCII bytes as octal escapes.

    >>> print(quote('say "\u00e9"'))
    "say \"\303\251\""
    """
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return f'"{_CONTROL.sub(_escape, data.decode("latin-1"))}"'


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\{ord(match[0]):03o}"


def integer(raw: str) -> int | None:
    """Return the value of a decimal, hexadecimal (`0x1F`) or octal (`017`) integer, None for anything else."""
    match = _INTEGER.fullmatch(raw)
    if match is None or len(raw) > 64:
        return None
    digits, base = {"hex": (match["hex"], 16), "octal": (match["octal"], 8)}.get(
        match.lastgroup or "", (match["decimal"], 10)
    )
    if base == 10 and len(digits) > 1 and digits[0] == "0":  # 08 is not a valid octal number
        return None
    return -int(digits, base) if match["sign"] else int(digits, base)


def real(raw: str) -> float | None:
    """Return the value of a number, inf, infinity or nan; None for anything else, including octal and hexadecimal."""
    if _FLOAT.fullmatch(raw):
        return float("".join(raw.split()).rstrip("fF"))
    match = _NAMED_FLOAT.fullmatch(raw)
    if match is None:
        return None
    return float(match["sign"] + ("inf" if match["inf"] else "nan"))


def spell(value: str | bytes | bool | int | float) -> str:
    """Return a Python value as a literal."""
    if isinstance(value, (str, bytes)):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return spell_double(value) if isinstance(value, float) else str(value)


def spell_float(value: float) -> str:
    """Return a float32 with the fewest digits that round-trip.

    >>> spell_float(0.01), spell_float(1e-5), spell_float(1.0), spell_float(1 / 256)
    ('0.01', '1e-05', '1', '0.00390625')
    """
    exact = _single(value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if _single(float(text)) == exact:
            return text
    return f"{value:.9g}"


def _single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def spell_double(value: float) -> str:
    """Return a float64 with 15 digits, or with 17 if 15 do not round-trip."""
    text = f"{value:.15g}"
    return text if float(text) == value or value != value else f"{value:.17g}"
