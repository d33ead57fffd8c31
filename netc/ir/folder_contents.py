"""What the tops of a data layer are read from, where a file name per record stands in a list: as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Content = Literal["image", "planes", "log depth", "indices", "mat"]


@dataclass(frozen=True)
class FolderContent:
    """The files of one top."""

    path: str
    """The path of a file; `{}` is the name of the record."""
    content: Content
    """An image with blue first, `planes` in the order of the file, the logarithm of depths, or a label map: an image
    or a variable of a .mat file."""
    mean: tuple[float, ...] = ()
    """What is subtracted from each channel."""
    variable: str = ""
    """The variable of a .mat file; with dots, fields of structures."""
    from_one: bool = False
    """Whether classes are numbered from 1 in the file: 0 and less become 255, the others one less."""
    classes: tuple[str, str] | None = None
    """Files with the names of classes, `number: name` per line: those of the label maps, and those of the top."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 3 if self.content in ("image", "planes") else 1
