"""The objects of an image as annotation files describe them, in pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

from netc.diagnostics import NetcError, Source, Span

LARGEST_FILE = 1 << 24
"""Bytes of the largest annotation file of one image."""
MOST_OBJECTS = 100_000
"""Limit of the objects of an image."""


class AnnotatedObject(NamedTuple):
    """One object."""

    name: str
    """Its class, as in the file."""
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax as in the file: PASCAL VOC counts pixels from 1."""
    difficult: bool = False
    """Hard to recognize, or a group of objects."""
    line: int = 0
    """Its line in the file; 0 if unknown."""
    where: str = ""
    """The object, for a message, in a file without lines."""
    other_name: str = ""
    """Another name of its class."""
    label: int | None = None
    """Its label, in a file that has labels in place of names."""


class AnnotatedImage(NamedTuple):
    """What an annotation file says about an image."""

    source: Source
    """The file."""
    objects: tuple[AnnotatedObject, ...] = ()
    size: tuple[int, int] | None = None
    """Height and width; None if the file does not have them."""
    image: str = ""
    """The name of the image file; empty if the file does not have it."""
    identifier: str = ""
    """What results call the image, if not by the name of its file."""


def bad_annotation(source: Source, message: str, line: int = 0, where: str = "", help: str | None = None) -> NetcError:
    """E513 at a line of an annotation file, or at the object `where`."""
    notes = [f"in {where}"] if where else []
    return NetcError(message, code="E513", span=span_of_line(source, line), notes=notes, help=help)


def span_of_line(source: Source, line: int) -> Span:
    """The span of a line without its indentation; of the first line for 0."""
    start = 0
    for _ in range(line - 1):
        following = source.text.find("\n", start)
        if following < 0:
            break
        start = following + 1
    end = source.text.find("\n", start)
    text = source.text[start : len(source.text) if end < 0 else end]
    start += len(text) - len(text.lstrip())
    return Span(source, start, start + max(1, len(text.strip())))


def number(text: str) -> float | None:
    """A finite decimal number; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
