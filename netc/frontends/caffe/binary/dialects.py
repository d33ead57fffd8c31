"""Dialects: the meaning of field numbers in the files of one fork of Caffe, and how the dialect of a file is guessed.

A layer type has parameters of its own (`BN` has `bn_param`), so the field number used in its layers identifies the
fork: `BN` with field 45 is SegNet's, with field 152 PSPNet's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, did_you_mean
from netc.frontends.caffe.binary import layouts, numbers
from netc.layers import layer_classes
from netc.schema import PRIVATE, descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BVLC = "bvlc"
_OTHERS = (
    "ssd fast_rcnn rfcn pspnet segnet enet deeplab2 yjxiong mobilenet_yolo flownet2 nvidia intel face sphereface ctpn "
    "caffe_ocr happynear mnc pvanet ssh crfasrnn lrcn c3d c3d_old deconvnet chenglong rtpose stn transfer "
    "gradient_reversal refinedet yolo9000 yolov2 liteflownet panoramic jolibrain caffe2onnx tensorrt openvino "
    "openvino_training ncnn mnn cambricon synopsys senet shufflenet depthwise self_normalizing opencl caffe_train hed "
    "fcn textboxes"
)
DIALECTS: tuple[str, ...] = (BVLC, *_OTHERS.split())
"""Sorted by how common their files are: of dialects that match a file equally well, the first is chosen."""
MOST_PAIRS = 4096
"""Maximum number of pairs of layer type and field number that a guess considers; a large net has fifty."""
FIRST_CONTESTED = 130
"""BVLC assigned the numbers 100 to 129 to its layers' parameters before forks began to add theirs."""
_PARAMETERS = {
    "DepthwiseConvolution": "convolution_param", "ConvolutionDepthwise": "convolution_param", "Normalize": "norm_param",
    "Lstm": "lstm_param", "SpatialTransformer": "st_param", "WarpCTCLoss": "ctc_param", "CtcLoss": "ctc_loss_param",
    "ImageSegData": "image_data_param", "SegData": "seg_data_param", "DataAugmentation": "augmentation_param",
    "RPNProposalSSD": "", "SoftmaxWithLossOHEM": "softmax_param", "SmoothL1LossOHEM": "smooth_l1_loss_param",
    "CTCGreedyDecoder": "ctc_decoder_param", "UnPooling": "unpooling_param", "SyncBN": "bn_param",
}  # fmt: skip
"""Layer types of forks whose parameter field is not named after the type."""

Evidence = Counter[tuple[str, int]]
"""How often a field number occurs in layers of a type."""


@dataclass(frozen=True)
class Dialect:
    """The meaning of the field numbers of a file."""

    name: str

    def layer_field(self, number: int, kind: str, old: bool = False) -> str | None:
        """Return the field with a number in a layer of type `kind`, None if unknown; `old` selects the V1 format."""
        table = numbers.V1 if old else numbers.V2
        own = table.get(number, {}).get(self.name) or _bvlc("V1LayerParameter" if old else "LayerParameter").get(number)
        if own is None or old or number < FIRST_CONTESTED:
            return own
        wanted = parameters_of(kind)
        return own if wanted is None or own == wanted or not own.endswith("_param") else None

    def field(self, message: str, number: int) -> str | None:
        """Return the field with a number in a message inside a layer, None if unknown."""
        moved = layouts.BY_DIALECT.get(self.name, {}).get(message, {})
        if number in moved:
            return moved[number]
        found = _bvlc(message).get(number) or layouts.COMMON.get(message, {}).get(number)
        return None if found in moved.values() else found

    def enum(self, name: str, number: int) -> str | None:
        """Return the name of an enum value if this dialect differs from BVLC's schema, else None."""
        if name == "LayerType":
            return layouts.V1_TYPES.get(self.name, {}).get(number)
        return layouts.ENUMS.get(self.name, {}).get(name, {}).get(number)


def named(name: str) -> Dialect:
    """Return the dialect with a name. Raises NetcError E806 for an unknown one."""
    if name not in DIALECTS:
        raise NetcError(f"unknown dialect `{name}`", code="E806", help=did_you_mean(name, DIALECTS))
    return Dialect(name)


def guess(found: Mapping[tuple[str, int], int], old: bool = False) -> tuple[Dialect, tuple[tuple[str, int], ...]]:
    """Return the dialect that matches most of a file, and the pairs of layer type and field number that match it."""
    best = BVLC
    evidence: tuple[tuple[str, int], ...] = ()
    foreign = [pair for pair in islice(found, MOST_PAIRS) if not _explains(BVLC, *pair, old)]
    for name in DIALECTS[1:]:
        pairs = tuple(pair for pair in foreign if _explains(name, *pair, old))
        if len(pairs) > len(evidence):
            best, evidence = name, pairs
    return Dialect(best), evidence


def _explains(dialect: str, kind: str, number: int, old: bool) -> bool:
    """Whether a field number is that of the parameters of a layer type in a dialect."""
    if old:
        return (kind, number) in _OLD.get(dialect, ())
    table = numbers.V2.get(number, {})
    field = _bvlc("LayerParameter").get(number) if dialect == BVLC else table.get(dialect)
    return field is not None and field == parameters_of(kind)


_OLD: Mapping[str, Iterable[tuple[str, int]]] = {
    "deconvnet": {("42", 44), ("43", 45)},
    "chenglong": {("38", 40), ("39", 41)},
    "c3d_old": {("30", 10), ("31", 19)},
}
"""V1 layer types, which are numbers, of forks with their parameter fields, which BVLC's types do not have."""


@lru_cache(maxsize=4096)
def parameters_of(kind: str) -> str | None:
    """Return the parameter field of a layer type; empty if it has none, None for an unknown type.

    >>> parameters_of("BN"), parameters_of("ROIPooling"), parameters_of("Scale"), parameters_of("Split")
    ('bn_param', 'roi_pooling_param', 'scale_param', '')
    """
    known = layer_classes(kind)
    if known:
        return known[0].param_field or getattr(known[0], "message", "")
    return _PARAMETERS[kind] if kind in _PARAMETERS else _alike().get(kind.lower())


@cache
def _alike() -> dict[str, str]:
    names = [field.name for field in descriptor("LayerParameter").fields if field.name.endswith("_param")]
    return {name.removesuffix("_param").replace("_", ""): name for name in names}


@cache
def _bvlc(message: str) -> dict[int, str]:
    """The fields of BVLC's schema by number."""
    return {field.number: field.name for field in descriptor(message).fields if field.number < PRIVATE}
