"""Random changes of text, bytes and JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "1.5", "-0.0", "1e38", "1e400", "nan", "inf", "-inf", "0x10", "010", "1f"),
    *("2147483647", "2147483648", "-2147483648", "4294967296", "18446744073709551616", "1000000000", "65536"),
    "9" * 400,
)
"""Numbers at limits of their types."""
_TOKEN = re.compile(rb'"[^"\n]*"|[A-Za-z_][\w./]*|-?[\d.]+(?:e[+-]?\d+)?|\s+|.', re.DOTALL)


def mutated_text(content: bytes, rng: random.Random, vocabulary: list[bytes], changes: int = 4) -> bytes:
    """Change a few tokens of a prototxt."""
    tokens = _TOKEN.findall(content)
    for _ in range(rng.randint(1, changes)):
        if tokens:
            _change_token(tokens, rng, vocabulary)
    result = b"".join(tokens)
    return mutated_bytes(result, rng, 2) if rng.random() < 0.1 else result


def _change_token(tokens: list[bytes], rng: random.Random, vocabulary: list[bytes]) -> None:
    at = rng.randrange(len(tokens))
    kind = rng.randrange(8)
    if kind == 0:
        del tokens[at : at + rng.choice((1, 1, 2, 8))]
    elif kind == 1:
        tokens[at:at] = tokens[at : at + rng.choice((1, 2, 10, 40))]
    elif kind == 2:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif kind == 3:
        tokens[at] = rng.choice(vocabulary)
    elif kind == 4:
        tokens.insert(at, bytes([rng.choice(b"{}[]:<>#%'\"\0\xff")]))
    elif kind == 5:
        _replace_kind(tokens, rng, rb"-?[\d.]", lambda: rng.choice(NUMBERS).encode())
    elif kind == 6:
        _replace_kind(tokens, rng, rb'"', lambda: rng.choice(vocabulary))
    else:
        _replace_kind(tokens, rng, rb"[A-Za-z_]", lambda: rng.choice(vocabulary))


def _replace_kind(tokens: list[bytes], rng: random.Random, pattern: bytes, new: Any) -> None:
    places = [i for i, token in enumerate(tokens) if re.match(pattern, token)]
    if places:
        tokens[rng.choice(places)] = new()


def vocabulary_of(contents: list[bytes]) -> list[bytes]:
    """Return the words and strings of texts."""
    words = {token for content in contents for token in _TOKEN.findall(content) if re.match(rb'["A-Za-z_]', token)}
    return sorted(words)


def mutated_bytes(content: bytes, rng: random.Random, changes: int = 6) -> bytes:
    """Flip bits, overwrite, insert, remove, repeat or cut."""
    data = bytearray(content)
    for _ in range(rng.randint(1, changes)):
        if data:
            _change_bytes(data, rng)
    return bytes(data)


def _change_bytes(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(min(len(data), 512)) if rng.random() < 0.5 else rng.randrange(len(data))
    length = rng.choice((1, 1, 2, 4, 8, 64))
    kind = rng.randrange(7)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = rng.randbytes(length)
    elif kind == 5:
        data[at:at] = data[at : at + length * 8]
    else:
        del data[at:]


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**9, 2**63, 10**400, 1.5, -0.5, float("nan"), float("inf")),
    *("", "text", "0", "\ud800"),
    *([], [[]], {}, {"": 0}, [0], [None], "a" * 1000),
)
"""Values of every type that JSON has."""


def mutated_json(value: Any, rng: random.Random) -> Any:
    """Change one value, remove it, or add one."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutated_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:at] + value[at + rng.choice((0, 1)) :] + value[:1]
        return [*value[:at], mutated_json(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)
