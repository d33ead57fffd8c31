"""Annotation files of PASCAL VOC: XML, read without document types and entities, so that a file cannot expand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from netc.data.sources.annotated_image import (
    LARGEST_FILE,
    MOST_OBJECTS,
    AnnotatedImage,
    AnnotatedObject,
    bad_annotation,
    number,
)
from netc.diagnostics import NetcError, Source
from netc.files import read_bytes, reason_of

if TYPE_CHECKING:
    from pathlib import Path

SIDES = ("xmin", "ymin", "xmax", "ymax")
DEEPEST = 100
"""Limit of nested elements."""
LONGEST = 1000
"""Limit of the characters of a text that is read."""


def read_voc(path: Path | str, name: str | None = None) -> AnnotatedImage:
    """The objects of an annotation file, called `name` in messages.

    Raises NetcError E501 for a file that cannot be read, E513 with the line for one that is not an annotation.
    """
    shown = str(path) if name is None else name
    try:
        data = read_bytes(path, LARGEST_FILE)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"`{shown}` cannot be read: {reason_of(error)}", code="E501", missing=missing) from None
    return parse_voc(data, shown)


def parse_voc(data: bytes, name: str) -> AnnotatedImage:
    """As `read_voc`, from the content of a file."""
    source = Source(name, data.decode("utf-8", "surrogateescape"))
    reader = _Reader(source)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        words = expat.errors.messages.get(error.code, str(error))
        raise bad_annotation(source, f"the file is not XML: {words}", error.lineno) from None
    return reader.result()


@dataclass
class _Object:
    """An object while it is read."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)


class _Reader:
    """Collects the texts of the elements that matter, by their path in the document."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._path: list[str] = []
        self._texts: dict[str, str] = {}
        """Those outside objects."""
        self._objects: list[_Object] = []

    def result(self) -> AnnotatedImage:
        """The image. Raises NetcError E513 with the line of an object without a name or box."""
        objects = tuple(map(self._object, self._objects))
        height, width = (self._extent(name) for name in ("height", "width"))
        size = (height, width) if height and width else None
        return AnnotatedImage(self.source, objects, size, self._texts.get("filename", "").strip())

    def _start(self, name: str, attributes: Any) -> None:
        if not self._path and name != "annotation":
            raise self._bad(f"expected an `annotation` element, found `{name}`")
        self._path.append(name)
        if len(self._path) > DEEPEST:
            raise self._bad(f"elements are nested deeper than {DEEPEST}")
        if self._path == ["annotation", "object"]:
            if len(self._objects) == MOST_OBJECTS:
                raise self._bad(f"there are more than {MOST_OBJECTS:,} objects")
            self._objects.append(_Object(self.parser.CurrentLineNumber))

    def _end(self, name: str) -> None:
        self._path.pop()

    def _text(self, text: str) -> None:
        """Keep a text in an object, but not in one of its parts, or in the head of the annotation."""
        path = ".".join(self._path[1:])
        inside = path.startswith("object.")
        texts, key = (self._objects[-1].texts, path[7:]) if inside else (self._texts, path)
        if key in _WANTED_INSIDE if inside else key in _WANTED:
            texts[key] = (texts.get(key, "") + text)[:LONGEST]

    def _doctype(self, *declared: Any) -> None:
        raise self._bad("document type declarations are not accepted")

    def _object(self, found: _Object) -> AnnotatedObject:
        texts, line = found.texts, found.line
        name = texts.get("name", "").strip()
        if not name:
            raise bad_annotation(self.source, "the object has no `name`", line)
        box = [self._side(found, side) for side in SIDES]
        difficult = texts.get("difficult", "0").strip() not in ("", "0")
        return AnnotatedObject(name, (box[0], box[1], box[2], box[3]), difficult, line)

    def _side(self, found: _Object, side: str) -> float:
        text = found.texts.get(f"bndbox.{side}", "").strip()
        value = number(text)
        if value is None:
            what = f"`{text}` is not a number" if text else "is missing"
            raise bad_annotation(self.source, f"`{side}` of the object's `bndbox` {what}", found.line)
        return value

    def _extent(self, name: str) -> int | None:
        value = number(self._texts.get(f"size.{name}", "").strip())
        return None if value is None or not 1 <= value < 1 << 31 else int(value)

    def _bad(self, message: str) -> NetcError:
        return bad_annotation(self.source, message, self.parser.CurrentLineNumber)


_WANTED = frozenset(("filename", "size.height", "size.width"))
_WANTED_INSIDE = frozenset(("name", "difficult", *(f"bndbox.{side}" for side in SIDES)))
