"""ImageData: image files and labels from a list (`image_data_layer.cpp`)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.records import Record, UnbatchedRecords
from netc.diagnostics import Diagnostic, NetcError, Source, Span, counted
from netc.files import is_file, read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from netc.data.batch import Shape
    from netc.ir.image_size import ImageSize
    from netc.paths import ResolvePath

FIELD = "image_data_param.source"
EXAMINED = 200
"""Lines searched for the name of a file: if a directory is missing, no line has one."""
LARGEST = float(np.finfo(np.float32).max)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class ImageListParameters(Protocol):
    """The parameters of a layer that describe its list."""

    @property
    def source(self) -> str: ...
    @property
    def root_folder(self) -> str: ...
    @property
    def size(self) -> ImageSize: ...
    @property
    def is_color(self) -> bool: ...


class ListedRecords(UnbatchedRecords):
    """Records of a list: one per line. A subclass reads the line and what it names; see `Records`.

    A path is relative to the working directory, after `root_folder`; then to the directory of the list; then it is what
    `resolve` finds.

    Raises NetcError E501 for a list that cannot be read.
    """

    def __init__(self, parameters: ImageListParameters, resolve: ResolvePath, field: str = FIELD) -> None:
        self.name, self._root, self.field = parameters.source, parameters.root_folder, field
        self._resolve, self._path = resolve, resolve(parameters.source)
        self._flag = images.flags(parameters.is_color, not parameters.is_color)
        self._size = parameters.size
        self._source = Source(self.name, read_text(self._path, self.name, field))
        self._names: list[str] = []
        """The path of the image in each line."""

    def __len__(self) -> int:
        """Number of lines."""
        return len(self._names)

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all lines."""
        return random.permutation(len(self._names))

    def describe(self, index: int) -> str:
        """The image, for a message."""
        return f"`{self._root}{self._names[index % len(self._names)]}` of `{self.name}`"

    def next_index(self, index: int) -> int:
        """The next record."""
        return index + 1

    def close(self) -> None:
        """Nothing is open between records."""

    def _check_length(self) -> None:
        """Raises NetcError E502 for a list without lines."""
        if not self._names:
            raise NetcError(f"list `{self.name}` is empty", code="E502", field=self.field)

    def _bytes(self, name: str) -> bytes:
        """The content of a file that a line names. Raises OSError if there is none."""
        return images.read(self._candidates(name))

    def _candidates(self, name: str) -> Iterator[Path]:
        path = self._root + name
        yield Path(path)
        yield self._path.parent / path
        yield self._resolve(path)


class ImageListRecords(ListedRecords):
    """The images that a list names, and labels; see `Records`.

    A line is a path and a number, separated by the last space, so that paths may contain spaces. If the first line that
    names a file does so only without several numbers at its end, every line has that many labels. Labels may be
    fractions (Caffe truncates them).

    Raises NetcError E501 for a list that cannot be read, E502 for an empty one, E506 with the place of every bad line.
    """

    def __init__(self, parameters: ImageListParameters, resolve: ResolvePath) -> None:
        super().__init__(parameters, resolve)
        self._names, self._labels = _parse(self._source, self._is_file)
        self._check_length()

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of an image, resized, and its label or labels."""
        return self.read(index).image.shape, self._labels.shape[1:]

    def read(self, index: int) -> Record:
        """An image, resized, and its labels. Raises NetcError E504 if it is missing or cannot be decoded."""
        try:
            data = self._bytes(self._names[index % len(self._names)])
            image = images.decode(memoryview(data), self._flag)
            image = images.resize(image, self._size.of(image.shape[1:]), self._size.cubic)
        except (OSError, ValueError) as error:
            raise NetcError(f"{self.describe(index)}: {reason_of(error)}", code="E504", field=FIELD) from None
        return Record(image, self._labels[index % len(self._labels)])

    def _is_file(self, name: str) -> bool:
        return any(is_file(path) for path in self._candidates(name))


def read_text(path: Path, name: str, field: str) -> str:
    """The text of a list without a byte order mark. Raises NetcError E501 if it cannot be read or is not a text."""
    try:
        data = read_bytes(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = f"`{name}` cannot be read: {reason_of(error)}"
        raise NetcError(what, code="E501", field=field, missing=missing) from None
    text = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise NetcError(f"`{name}` is a binary file, not a list", code="E501", field=field)
    return text


def _parse(source: Source, is_file: Callable[[str], bool]) -> tuple[list[str], npt.NDArray[np.float32]]:
    lines = source.text.split("\n")
    names: list[str] = []
    labels: list[Any] = []
    bad: list[Diagnostic] = []
    count, at = _label_count(lines, is_file), 0
    for line in lines:
        if line.strip():
            name, *numbers = line.strip().rsplit(None, count)
            values = _numbers(numbers)
            if values is None or len(values) != count:
                bad.append(_bad_line(Span(source, at, at + max(1, len(line))), count))
            else:
                names.append(name)
                labels.append(values if count > 1 else values[0])
        at += len(line) + 1
    if bad:
        raise NetcError(bad)
    return names, np.array(labels, np.float32)


def _label_count(lines: Iterable[str], is_file: Callable[[str], bool]) -> int:
    """Labels per line, from the first line that names an existing file; one, as in Caffe, if no line does."""
    written = (line.strip() for line in lines if line.strip())
    for line in itertools.islice(written, EXAMINED):
        for count in range(1, len(line.split())):
            name, *numbers = line.rsplit(None, count)
            if _numbers(numbers) is None:
                break
            if is_file(name):
                return count
    return 1


def _numbers(words: list[str]) -> list[float] | None:
    """Labels: decimal numbers as C++ writes them, within the range of a float; None for anything else."""
    if not all(map(_NUMBER.fullmatch, words)):
        return None
    values = list(map(float, words))
    return values if all(abs(value) <= LARGEST for value in values) else None


def _bad_line(span: Span, count: int) -> Diagnostic:
    wanted = "a label" if count == 1 else counted(count, "label")
    return Diagnostic("E506", f"line {span.line} is not a path followed by {wanted}", span, field=FIELD)
