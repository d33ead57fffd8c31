"""Layers in place of the Python data layers of fully convolutional networks, which read published data sets.

An image at a time, whole; `train` in the name of the split means that images are drawn at random, with replacement.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.folder_contents import FolderContent
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register

Mean = tuple[float, ...]


@dataclass(frozen=True)
class FcnData(PythonReplacement, DataLayer):
    """Base of FCN's data layers."""

    split: str = ""
    """Name of the list of images: `train`, `val`, `seg11valid`, ..."""
    randomize: bool = True
    """Whether images are drawn at random, if `train` is in the name of the split."""
    seed: int | None = None
    """Seed of the order; that of the run if it is not given."""

    bottom_count: ClassVar[Count] = Count(0)
    top_count: ClassVar[Count] = Count(2)
    fed_by: ClassVar[FedBy] = "folders"
    folders: ClassVar[tuple[str, ...]]
    """The fields that are folders."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Any:
        """Reads `param_str`. Raises NetcError E101 for a missing folder or split, E103 as PythonReplacement does."""
        found = super().from_caffe(layer)
        for name in (*cls.folders, "split"):
            if not getattr(found, name):
                fail(f"`{name}` is missing in `param_str`", code="E101", field="python_param.param_str")
        if found.seed is not None and not isinstance(found.seed, int):
            fail(f"`seed` {found.seed!r} in `param_str` is not an integer", code="E103", field="python_param.param_str")
        found._check()
        return found

    @property
    def source(self) -> str:
        """Path of the list of images."""
        raise NotImplementedError

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """What each top is read from."""
        raise NotImplementedError

    @property
    def drawn(self) -> bool:
        """Whether images are drawn at random."""
        return self.randomize and "train" in self.split

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """(1, 3, h, w) and (1, 1, h, w). Raises NetcError E020 for another number of tops."""
        contents = self.contents
        if tops != len(contents):
            fail(f"expected {counted(len(contents), 'top')}, got {tops}", code="E020", field="top")
        shapes = record or tuple((content.channels, UNKNOWN, UNKNOWN) for content in contents)
        return tuple((1, *shape) for shape in shapes)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`randomize`, if it has an effect."""
        return ("randomize",) * self.drawn

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the images are produced outside the net."""
        return Cost()

    def _check(self) -> None:
        """Raises NetcError E103."""


def _check_mean(mean: Mean) -> None:
    if len(mean) != 3 or not all(isinstance(value, (int, float)) and abs(value) < 1e6 for value in mean):
        fail("`mean` in `param_str` must be three numbers", code="E103", field="python_param.param_str")


@register("Python", dialect="fcn", field="python_param", python=("voc_layers.VOCSegDataLayer",))
@dataclass(frozen=True)
class VocSegData(FcnData):
    """Images and label maps of PASCAL VOC, from its folders.

    Shapes: to (1, 3, h, w) and (1, 1, h, w), of the size of each image.

    >>> VocSegData("val", voc_dir="VOC2011", mean=(104.0, 116.7, 122.7)).source
    'VOC2011/ImageSets/Segmentation/val.txt'

    Reference: `voc_layers.py` of shelhamer/fcn.berkeleyvision.org.
    """

    voc_dir: str = ""
    """Folder of a year of PASCAL VOC."""
    mean: Mean = ()
    """What is subtracted from each image, blue first."""

    folders: ClassVar[tuple[str, ...]] = ("voc_dir",)

    @property
    def source(self) -> str:
        """See FcnData."""
        return f"{self.voc_dir}/ImageSets/Segmentation/{self.split}.txt"

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """See FcnData."""
        return (
            FolderContent(f"{self.voc_dir}/JPEGImages/{{}}.jpg", "image", self.mean),
            FolderContent(f"{self.voc_dir}/SegmentationClass/{{}}.png", "indices"),
        )

    def _check(self) -> None:
        _check_mean(self.mean)


@register("Python", dialect="fcn", field="python_param", python=("voc_layers.SBDDSegDataLayer",))
@dataclass(frozen=True)
class SbddSegData(FcnData):
    """Images and label maps of SBDD, the extended labels of PASCAL VOC, from its folders; requires SciPy.

    Shapes: to (1, 3, h, w) and (1, 1, h, w), of the size of each image.

    >>> SbddSegData("train", sbdd_dir="sbdd/dataset", mean=(104.0, 116.7, 122.7)).source
    'sbdd/dataset/train.txt'

    Reference: `voc_layers.py` of shelhamer/fcn.berkeleyvision.org; Hariharan et al. 2011.
    """

    sbdd_dir: str = ""
    """The folder `dataset` of SBDD."""
    mean: Mean = ()
    """What is subtracted from each image, blue first."""

    folders: ClassVar[tuple[str, ...]] = ("sbdd_dir",)

    @property
    def source(self) -> str:
        """See FcnData."""
        return f"{self.sbdd_dir}/{self.split}.txt"

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """See FcnData."""
        return (
            FolderContent(f"{self.sbdd_dir}/img/{{}}.jpg", "image", self.mean),
            FolderContent(f"{self.sbdd_dir}/cls/{{}}.mat", "mat", variable="GTcls.Segmentation"),
        )

    def _check(self) -> None:
        _check_mean(self.mean)


@register("Python", dialect="fcn", field="python_param", python=("nyud_layers.NYUDSegDataLayer",))
@dataclass(frozen=True)
class NyudSegData(FcnData):
    """Images, depths and label maps of NYUDv2, with 40 classes, from its folders; label maps require SciPy.

    Shapes: to (1, 3, h, w) for `color` and `hha`, and (1, 1, h, w) for `depth` and `label`.

    >>> NyudSegData("val", nyud_dir="nyud", tops=("color", "label")).batch(None, 2)
    ((1, 3, ?, ?), (1, 1, ?, ?))

    Reference: `nyud_layers.py` of shelhamer/fcn.berkeleyvision.org; Gupta et al. 2014.
    """

    nyud_dir: str = ""
    """Folder of NYUDv2."""
    tops: tuple[str, ...] = ()
    """What each top holds: `color`, `depth`, `hha` or `label`."""

    top_count: ClassVar[Count] = Count(1, None)
    folders: ClassVar[tuple[str, ...]] = ("nyud_dir",)

    @property
    def source(self) -> str:
        """See FcnData."""
        return f"{self.nyud_dir}/{self.split}.txt"

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """See FcnData."""
        known, folder = _NYUD, self.nyud_dir
        return tuple(dataclasses.replace(known[top], path=f"{folder}/{known[top].path}") for top in self.tops)

    def _check(self) -> None:
        unknown = next((top for top in self.tops if top not in _NYUD), None)
        if unknown is not None or not self.tops:
            what = "`tops` is missing in `param_str`" if unknown is None else f"unknown top `{unknown}` in `param_str`"
            names = ", ".join(f"`{name}`" for name in _NYUD)
            fail(f"{what}: expected a list of {names}", code="E103", field="python_param.param_str")


_NYUD = {
    "color": FolderContent("data/images/img_{}.png", "image", (116.190, 97.203, 92.318)),
    "depth": FolderContent("data/depth/img_{}.png", "log depth", (7.844,)),
    "hha": FolderContent("data/hha/img_{}.png", "planes", (132.431, 94.076, 118.477)),
    "label": FolderContent("segmentation/img_{}.mat", "mat", variable="segmentation", from_one=True),
}
"""The contents of NYUDv2."""


@register("Python", dialect="fcn", field="python_param", python=("siftflow_layers.SIFTFlowSegDataLayer",))
@dataclass(frozen=True)
class SiftFlowSegData(FcnData):
    """Images of SIFT Flow, and their maps of 33 semantic and 3 geometric classes, from its folders; requires SciPy.

    Shapes: to (1, 3, h, w), (1, 1, h, w) and (1, 1, h, w).

    >>> SiftFlowSegData("val", siftflow_dir="siftflow").batch(None, 3)
    ((1, 3, ?, ?), (1, 1, ?, ?), (1, 1, ?, ?))

    Reference: `siftflow_layers.py` of shelhamer/fcn.berkeleyvision.org; Liu et al. 2009, Tighe, Lazebnik 2010.
    """

    siftflow_dir: str = ""
    """Folder of SIFT Flow."""

    top_count: ClassVar[Count] = Count(3)
    folders: ClassVar[tuple[str, ...]] = ("siftflow_dir",)

    @property
    def source(self) -> str:
        """See FcnData."""
        return f"{self.siftflow_dir}/{self.split}.txt"

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """See FcnData."""
        scenes = "spatial_envelope_256x256_static_8outdoorcategories/{}"
        labels = FolderContent("", "mat", variable="S", from_one=True)
        folder = self.siftflow_dir
        return (
            FolderContent(f"{folder}/Images/{scenes}.jpg", "image", (114.578, 115.294, 108.353)),
            dataclasses.replace(labels, path=f"{folder}/SemanticLabels/{scenes}.mat"),
            dataclasses.replace(labels, path=f"{folder}/GeoLabels/{scenes}.mat"),
        )


@register("Python", dialect="fcn", field="python_param", python=("pascalcontext_layers.PASCALContextSegDataLayer",))
@dataclass(frozen=True)
class PascalContextSegData(FcnData):
    """Images of PASCAL VOC 2010 and label maps of PASCAL-Context, with 59 classes and 0 for others; requires SciPy.

    Shapes: to (1, 3, h, w) and (1, 1, h, w), of the size of each image.

    >>> PascalContextSegData("val", voc_dir="pascal", context_dir="pascal-context").source
    'pascal/VOC2010/ImageSets/Main/val.txt'

    Reference: `pascalcontext_layers.py` of shelhamer/fcn.berkeleyvision.org; Mottaghi et al. 2014.
    """

    voc_dir: str = ""
    """Folder that contains `VOC2010`."""
    context_dir: str = ""
    """Folder of the labels of PASCAL-Context."""

    folders: ClassVar[tuple[str, ...]] = ("voc_dir", "context_dir")

    @property
    def source(self) -> str:
        """See FcnData."""
        return f"{self.voc_dir}/VOC2010/ImageSets/Main/{self.split}.txt"

    @property
    def contents(self) -> tuple[FolderContent, ...]:
        """See FcnData."""
        names = f"{self.context_dir}/labels.txt", f"{self.context_dir}/59_labels.txt"
        return (
            FolderContent(f"{self.voc_dir}/VOC2010/JPEGImages/{{}}.jpg", "image", (104.007, 116.669, 122.679)),
            FolderContent(f"{self.context_dir}/trainval/{{}}.mat", "mat", variable="LabelMap", classes=names),
        )
