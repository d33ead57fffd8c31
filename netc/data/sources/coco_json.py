"""Annotation files of COCO: one JSON file for all images, or one per image as SSD's scripts write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from netc.data.sources.annotated_image import (
    LARGEST_FILE,
    AnnotatedImage,
    AnnotatedObject,
    bad_annotation,
    number,
)
from netc.diagnostics import NetcError, Source
from netc.files import read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1 << 31
"""Bytes of the largest file of a data set; COCO's has 450 million."""


def read_coco(path: Path | str) -> list[AnnotatedImage]:
    """The images of a file of COCO's object detection, in its order, also those without objects.

    Raises NetcError E501 for a file that cannot be read, E513 for one that is not such a file.
    """
    source, content = _loaded(path, LARGEST)
    images = {_key(one, "id", source, f"image {i + 1}"): one for i, one in enumerate(_list(content, "images", source))}
    names = {
        str(one.get("id")): str(one.get("name"))
        for one in _list(content, "categories", source)
        if isinstance(one, dict)
    }
    objects: dict[str, list[AnnotatedObject]] = {key: [] for key in images}
    for i, one in enumerate(_list(content, "annotations", source)):
        where = f"annotation {i + 1}"
        key = _key(one, "image_id", source, where)
        if key not in objects:
            raise bad_annotation(source, f"there is no image with the `id` {key}", where=where)
        objects[key].append(_object(one, names, source, where))
    return [_image(images[key], found, source) for key, found in objects.items()]


def read_coco_image(path: Path | str) -> AnnotatedImage:
    """The objects of an image, from a file with one `image` and its list `annotation`. Raises NetcError E501, E513."""
    source, content = _loaded(path, LARGEST_FILE)
    image = content.get("image")
    if not isinstance(image, dict):
        raise bad_annotation(source, "expected an `image` with its `height` and `width`")
    listed = enumerate(_list(content, "annotation", source))
    return _image(image, [_object(one, {}, source, f"annotation {i + 1}") for i, one in listed], source)


def _loaded(path: Path | str, largest: int) -> tuple[Source, dict[str, Any]]:
    try:
        data = read_bytes(path, largest)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"`{path}` cannot be read: {reason_of(error)}", code="E501", missing=missing) from None
    text = data.decode("utf-8", "surrogateescape")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise bad_annotation(Source(str(path), text), f"the file is not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise bad_annotation(Source(str(path), ""), "its values are nested too deeply") from None
    # The text of a large file is not kept: its objects have no lines.
    source = Source(str(path), "")
    if not isinstance(content, dict):
        raise bad_annotation(source, "expected an object with `images` and `annotations`")
    return source, content


def _list(content: dict[str, Any], name: str, source: Source) -> list[Any]:
    found = content.get(name)
    if not isinstance(found, list):
        raise bad_annotation(source, f"expected a list `{name}`")
    return found


def _key(one: Any, name: str, source: Source, where: str) -> str:
    if not isinstance(one, dict) or not isinstance(one.get(name), (int, str)):
        raise bad_annotation(source, f"`{name}` is missing", where=where)
    return str(one[name])


def _object(one: Any, names: dict[str, str], source: Source, where: str) -> AnnotatedObject:
    category = _key(one, "category_id", source, where)
    box = one.get("bbox")
    sides = list(_numbers(box)) if isinstance(box, list) else []
    if len(sides) != 4:
        raise bad_annotation(source, "`bbox` is not a list of x, y, width and height", where=where)
    x, y, width, height = sides
    crowd = one.get("iscrowd", 0) not in (0, False)
    return AnnotatedObject(category, (x, y, x + width, y + height), crowd, 0, where, names.get(category, ""))


def _numbers(values: list[Any]) -> Iterator[float]:
    for value in values:
        found = number(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        if found is not None:
            yield found


def _image(one: Any, objects: list[AnnotatedObject], source: Source) -> AnnotatedImage:
    height, width = one.get("height"), one.get("width")
    known = isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0
    name = one.get("file_name")
    identifier = one.get("id")
    return AnnotatedImage(
        source,
        tuple(objects),
        (height, width) if known else None,
        name if isinstance(name, str) else "",
        "" if identifier is None else str(identifier),
    )
