"""FLOWriter, FloatWriter, PFMWriter and ImgWriter: a file for each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, known
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.layers._registry import register
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ItemWriter(Layer):
    """Base of the layers that write a file for each item: FOLDER/PREFIX0000012(003)SUFFIX.flo is item 3 of pass 12."""

    file: str = ""
    """Path of the only file, which then holds the last item of the last pass."""
    folder: str = ""
    """Path of the folder of the files, which is created if it is missing."""
    prefix: str = ""
    """What the names begin with, before the number of the pass with seven digits."""
    suffix: str = ""
    """What follows the numbers of the pass and, of several items, of the item."""

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(0)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    writes_file: ClassVar[bool] = True

    channels: ClassVar[tuple[int, ...]] = ()
    """Numbers of channels that the format has; empty for any."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `writer_param`. Raises NetcError E101 without a file and without a folder."""
        result = super().from_caffe(layer)
        if not result.file and not result.folder:
            message = "`file` and `folder` are missing: FlowNet2 would write to the root folder"
            fail(message, code="E101", field="writer_param", help="set `writer_param { folder: ... }`")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without 4 axes, or with other channels than the format has."""
        _, c, *_ = planes(self.type, bottoms)[0]
        if self.channels and known(c) and c not in self.channels:
            wanted = " or ".join(map(str, self.channels))
            fail(f"`{self.type}` expects {wanted} channels, got {c}", field="bottom")
        return ()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero."""
        return Cost()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of training passes."""
        return (StateEntry("passes", (), by_mode=False),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Writes each item. Raises NetcError E408 if a file cannot be written, E412 for one of another program."""
        import torch

        from netc.layers._written_files import write_file

        if mode.files == "none":
            return ()
        kept = mode.kept("passes", by_mode=False)
        passes = torch.zeros(()) if kept is None else kept
        items = bottoms[0].detach().float().cpu().numpy()
        for index, item in enumerate(items):
            if not self.file:
                write_file(self._name(int(passes), index, items.shape), self.encoded(item), mode.files, "folder")
            elif index + 1 == len(items):
                write_file(self.file, self.encoded(item), mode.files, "file")
        if mode.training:
            mode.keep("passes", passes + 1, by_mode=False)
        return ()

    def _name(self, number: int, index: int, shape: Shape) -> str:
        """The name of an item's file; outside training the number of the pass is 0, as in FlowNet2."""
        item = f"({index:03d})" if shape[0] > 1 else ""
        return f"{self.folder}/{self.prefix}{number:07d}{item}{self.suffix}.{self.ending(shape[1])}"

    def ending(self, channels: int) -> str:
        """The ending of the names."""
        raise NotImplementedError

    def encoded(self, item: Planes) -> bytes:
        """The content of the file of an item (c, h, w)."""
        raise NotImplementedError


@register("FLOWriter", dialect="flownet2", field="writer_param")
@dataclass(frozen=True)
class FloWriter(ItemWriter):
    """Writes a flow to a Middlebury .flo file for each item, in training, tests and the Python interface.

    The name is FOLDER/PREFIX0000012(003)SUFFIX.flo for item 3 of training pass 12, without (003) for a batch of one; in
    tests the number of the pass is 0, so that each pass overwrites the files of the one before. A pass is an iteration
    if the solver's `iter_size` is 1. A file that this run did not write is replaced with `--overwrite` only.

    Shapes: (n, 2, h, w), no top.

    >>> FloWriter(folder="flows").infer(((4, 2, 384, 512),), 0)
    ()

    Reference: `flowriter_layer.cpp`, `output.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    channels: ClassVar[tuple[int, ...]] = (2,)

    def ending(self, channels: int) -> str:
        """Always .flo."""
        return "flo"

    def encoded(self, item: Planes) -> bytes:
        """PIEH, the width, the height, and both components of each pixel."""
        _, h, w = item.shape
        return b"PIEH" + _integers(w, h) + item.transpose(1, 2, 0).astype("<f4").tobytes()


@register("FloatWriter", dialect="flownet2", field="writer_param")
@dataclass(frozen=True)
class FloatWriter(ItemWriter):
    """Writes the numbers of each item to a .float3 file: a text header with the extents, then float32.

    Names and files that are replaced are those of FLOWriter, with the ending .float3.

    Shapes: (n, c, h, w), no top.

    >>> FloatWriter(folder="flows").infer(((4, 7, 384, 512),), 0)
    ()

    Reference: `floatwriter_layer.cpp`, `output.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    def ending(self, channels: int) -> str:
        """Always .float3."""
        return "float3"

    def encoded(self, item: Planes) -> bytes:
        """The number of axes, the width, the height and the channels in lines, then the planes."""
        c, h, w = item.shape
        return f"float\n3\n{w}\n{h}\n{c}\n".encode() + item.astype("<f4").tobytes()


@register("PFMWriter", dialect="flownet2", field="writer_param")
@dataclass(frozen=True)
class PfmWriter(ItemWriter):
    """Writes the negated numbers of each item to a .pfm file: disparities, which DispNet computes as negative shifts.

    Names and files that are replaced are those of FLOWriter, with the ending .pfm.

    Shapes: (n, c, h, w) with 1 to 3 channels, of which 2 are filled up with zeros, no top.

    >>> PfmWriter(folder="disparities").infer(((4, 1, 384, 512),), 0)
    ()

    Reference: `pfmwriter_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    channels: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def ending(self, channels: int) -> str:
        """Always .pfm."""
        return "pfm"

    def encoded(self, item: Planes) -> bytes:
        """The rows from the last to the first, big-endian, the channels of a pixel next to each other."""
        import numpy as np

        c, h, w = item.shape
        planes = -item if c != 2 else np.concatenate((-item, np.zeros((1, h, w), np.float32)))
        header = f"P{'f' if c == 1 else 'F'}\n{w} {h}\n1.0\n"
        return header.encode() + planes.transpose(1, 2, 0)[::-1].astype(">f4").tobytes()


@register("ImgWriter", dialect="flownet2", field="writer_param")
@dataclass(frozen=True)
class ImgWriter(ItemWriter):
    """Writes each item to an image: .ppm with three channels, blue first, or .pgm with one.

    Names and files that are replaced are those of FLOWriter, with these endings. Values are rounded toward 0, and
    limited to 0 and 255; FlowNet2 limits those of three channels only.

    Shapes: (n, 3, h, w) or (n, 1, h, w), no top.

    >>> ImgWriter(folder="images").infer(((4, 3, 384, 512),), 0)
    ()

    Reference: `imgwriter_layer.cpp`, `output.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    normalize: bool = False
    """Whether the least and the greatest value become 0 and 255."""
    scale: float = 1.0
    """Factor of each value without `normalize`."""

    channels: ClassVar[tuple[int, ...]] = (1, 3)

    def ending(self, channels: int) -> str:
        """.ppm or .pgm."""
        return "ppm" if channels == 3 else "pgm"

    def encoded(self, item: Planes) -> bytes:
        """The pixels as bytes, red first."""
        import numpy as np

        c, h, w = item.shape
        with np.errstate(invalid="ignore", over="ignore"):
            values = self._normalized(item) if self.normalize else item * np.float32(self.scale)
            pixels = np.nan_to_num(values).clip(0, 255).astype(np.uint8)
        kind = "P5" if c == 1 else "P6" if self.normalize else "P6 "
        return f"{kind}\n{w} {h} \n255\n".encode() + pixels[::-1].transpose(1, 2, 0).tobytes()

    def _normalized(self, item: Planes) -> Planes:
        """The values from 0 to 255; the greatest is at least the smallest positive normal number, as in FlowNet2."""
        import numpy as np

        tiny = np.finfo(np.float32).tiny
        low = np.fmin.reduce(item, axis=None, initial=np.inf)  # without NaN
        high = np.fmax.reduce(item, axis=None, initial=tiny)
        scaled: Planes = 255 * (item - low) / max(high - low, tiny)
        return scaled


def _integers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)
