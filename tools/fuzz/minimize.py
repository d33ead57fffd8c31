"""Makes the input of a finding smaller while its signature stays."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fuzz.case import Case


def minimized(case: Case, holds: Callable[[Case], bool], seconds: float = 60.0) -> Case:
    """Return a smaller case for which `holds` is True, after at most about `seconds`."""
    end = time.monotonic() + seconds

    def tried(candidate: Case) -> bool:
        return time.monotonic() < end and holds(candidate)

    for line in case.commands:
        if len(case.commands) > 1 and tried(replace(case, commands=(line,))):
            case = replace(case, commands=(line,))
            break
    for name in sorted(case.files):
        without = replace(case, files={key: value for key, value in case.files.items() if key != name})
        if tried(without):
            case = without
    for name in sorted(case.files, key=lambda name: len(case.files[name])):
        case = _file_minimized(case, name, tried)
    return case


def _file_minimized(case: Case, name: str, tried: Callable[[Case], bool]) -> Case:
    def with_content(parts: Sequence[bytes]) -> Case:
        return replace(case, files={**case.files, name: b"".join(parts)})

    content = case.files[name]
    for parts in (content.splitlines(keepends=True), _words(content)):
        kept = _shortest(parts, lambda parts: tried(with_content(parts)))
        if len(kept) < len(parts):
            case = with_content(kept)
        content = case.files[name]
    return case


def _words(content: bytes) -> list[bytes]:
    """Split text at white space, and other content into blocks of 16 bytes."""
    if b"\0" in content:
        return [content[i : i + 16] for i in range(0, len(content), 16)]
    return [word + b" " for word in content.split(b" ")]


def _shortest(parts: Sequence[bytes], holds: Callable[[Sequence[bytes]], bool]) -> Sequence[bytes]:
    """Remove ever smaller groups of neighbors (delta debugging, Zeller 1999)."""
    size = len(parts) // 2
    while size:
        start = 0
        while start < len(parts):
            rest = [*parts[:start], *parts[start + size :]]
            if holds(rest):
                parts = rest
            else:
                start += size
        size //= 2
    return parts
