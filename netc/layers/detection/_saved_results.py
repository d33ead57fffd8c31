"""The files of objects that SSD's DetectionOutput writes: one per class (VOC), or one of all (COCO, ILSVRC)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from netc.diagnostics import NetcError
from netc.files import is_file, read_bytes, reason_of
from netc.ir.augmentation import Resize
from netc.ir.fields import Fields
from netc.ir.layer import Mode, fail
from netc.layers.detection._image_boxes import in_pixels, names_and_sizes

if TYPE_CHECKING:
    from torch import Tensor

_PARAMETER = "detection_output_param.save_output_param"
_TEXTS = ("output_directory", "output_name_prefix", "output_format", "label_map_file", "name_size_file")
SAVED_FIELDS = tuple(f"{_PARAMETER}.{name}" for name in (*_TEXTS, "num_test_image", "resize_param"))


@dataclass(frozen=True)
class SavedResults:
    """Where and how the results of a pass over a data set are written."""

    output_directory: str
    """Folder of the files; it is created if it does not exist."""
    output_name_prefix: str
    """The beginning of each file's name."""
    output_format: str
    """`VOC`, `COCO` or `ILSVRC`; nothing is written for another."""
    label_map_file: str
    """Names of the labels."""
    name_size_file: str
    """A line `name height width` for each image, in the order in which the net processes them."""
    num_test_image: int = 0
    """Number of images after which the files begin anew; 0 for all in `name_size_file`."""
    resize: Resize | None = None
    """How images were resized, so that coordinates can refer to the originals."""

    @classmethod
    def of(cls, p: Fields) -> Self | None:
        """Read a `save_output_param`; None if it lacks the folder or one of the two files, as nothing is written."""
        if not p.get("output_directory", "") or not p.get("label_map_file", "") or not p.get("name_size_file", ""):
            return None
        resize = Resize.read(p.message("resize_param")) if "resize_param" in p else None
        texts = {name: p.get(name, "") for name in _TEXTS}
        return cls(**texts, num_test_image=p.get("num_test_image", 0), resize=resize)

    def to_caffe(self) -> dict[str, Any]:
        """The message as plain values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS}
        if self.num_test_image:
            values["num_test_image"] = self.num_test_image
        return values if self.resize is None else {**values, "resize_param": self.resize.to_caffe()}

    def write(self, rows: Tensor, images: int, mode: Mode) -> None:
        """Append the rows of a batch to the files, which begin anew after `num_test_image` images.

        Raises NetcError E501 for a file that cannot be read, E408 for one that cannot be written, E412 for one that
        exists, unless it may be overwritten.
        """
        import torch

        if mode.files == "none":
            return
        listed = names_and_sizes(mode.find(self.name_size_file), f"{_PARAMETER}.name_size_file")
        names = self._labels(mode)
        total = min(self.num_test_image or len(listed), len(listed))
        before = mode.kept("images")
        done = 0 if before is None else int(before)
        by_image = rows.float().cpu()
        try:
            for image in range(images):
                if done % total == 0:
                    self._begin(names.values(), may_replace=before is not None or mode.files == "any")
                done = done % total
                self._append(by_image[by_image[:, 0] == image], listed[done], names)
                done += 1
        except NetcError:
            raise
        except OSError as error:
            message = f"cannot write to `{self.output_directory}`: {reason_of(error)}"
            fail(message, code="E408", field=f"{_PARAMETER}.output_directory")
        mode.keep("images", torch.tensor(done))

    def _labels(self, mode: Mode) -> dict[int, str]:
        """Return the name of each label in the label map."""
        try:
            text = read_bytes(mode.find(self.label_map_file)).decode("utf-8", "replace")
        except OSError as error:
            message = f"cannot read `{self.label_map_file}`: {reason_of(error)}"
            fail(message, code="E501", field=f"{_PARAMETER}.label_map_file")
        items = (dict(_VALUE.findall(item)) for item in _ITEM.findall(text))
        return {int(item["label"]): item["name"].strip("\"'") for item in items if "label" in item and "name" in item}

    def _files(self, names: Any) -> Iterator[Path]:
        """Return the path of each file that is written."""
        folder, prefix = Path(self.output_directory), self.output_name_prefix
        if self.output_format == "VOC":
            yield from (folder / f"{prefix}{name.replace(os.sep, '_')}.txt" for name in names)
        elif self.output_format in ("COCO", "ILSVRC"):
            yield folder / f"{prefix}.{'json' if self.output_format == 'COCO' else 'txt'}"

    def _begin(self, names: Any, may_replace: bool) -> None:
        """Create empty files."""
        Path(self.output_directory).mkdir(parents=True, exist_ok=True)
        for path in self._files(names):
            if not may_replace and is_file(path) and path.stat().st_size:
                message = f"`{path}` exists, and netc did not write it in this run"
                field = f"{_PARAMETER}.output_directory"
                fail(message, code="E412", field=field, help="`--overwrite` replaces it")
            path.write_text("[\n]\n" if self.output_format == "COCO" else "", encoding="utf-8")

    def _append(self, rows: Tensor, image: tuple[str, int, int], names: dict[int, str]) -> None:
        """Write the rows of an image."""
        name, height, width = image
        corners = in_pixels(rows[:, 3:], height, width, self.resize).double()
        sizes = corners[:, 2:] - corners[:, :2]
        boxes = ((corners[:, :2] * 100).round() / 100).tolist(), ((sizes * 100).round() / 100).tolist()
        written: dict[Path, list[str]] = {}
        for label, score, (x, y), (w, h) in zip(rows[:, 1].int().tolist(), rows[:, 2].tolist(), *boxes):
            if label not in names:
                message = f"label {label} is not in `{self.label_map_file}`"
                fail(message, code="E301", field=f"{_PARAMETER}.label_map_file")
            path = next(self._files((names[label],)), None)
            if path is not None:
                line = self._line(name, label, names[label], score, (x, y, w, h))
                written.setdefault(path, []).append(line)
        for path, lines in written.items():
            _extend(path, lines, is_json=self.output_format == "COCO")

    def _line(self, image: str, label: int, name: str, score: float, box: tuple[float, float, float, float]) -> str:
        if self.output_format == "COCO":
            category: int | str = int(name) if name.isdecimal() else name
            number: int | str = int(image) if image.isdecimal() else image
            return json.dumps(
                {"image_id": number, "category_id": category, "bbox": box, "score": float(f"{score:.9g}")}
            )
        x, y, w, h = map(int, box)
        head = image if self.output_format == "VOC" else f"{image} {label}"
        return f"{head} {score:g} {x} {y} {x + w} {y + h}"


_ITEM = re.compile(r"item\s*:?\s*\{([^{}]*)\}")
_VALUE = re.compile(r"""\b(name|label)\s*:\s*("[^"]*"|'[^']*'|-?\d+)""")


def _extend(path: Path, lines: list[str], is_json: bool) -> None:
    """Append lines to a file; in JSON they are items of its list."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        if not is_json:
            file.write("".join(f"{line}\n" for line in lines).encode())
            return
        end = file.tell() - len("\n]\n")
        file.seek(end)
        first = end == 1
        file.write(((",\n" if not first else "\n") + ",\n".join(lines) + "\n]\n").encode())
