"""A dialect: what numbers mean in the files of one fork of Caffe; and the guess which one a file is written in.

A layer type has parameters of its own (`BN` has `bn_param`), so a number that stands in its layers tells whose file it
is: `BN` with 45 is SegNet's, with 152 PSPNet's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice

from netc.diagnostics import NetcError, did_you_mean
from netc.frontends.caffe.binary import layouts, numbers
from netc.layers import layer_classes
from netc.schema import PRIVATE, descriptor

BVLC = "bvlc"
_OTHERS = (
    "ssd fast_rcnn rfcn pspnet segnet enet deeplab2 yjxiong mobilenet_yolo flownet2 nvidia intel face sphereface ctpn "
    "caffe_ocr happynear mnc pvanet ssh crfasrnn lrcn c3d c3d_old deconvnet chenglong rtpose stn transfer "
    "gradient_reversal refinedet yolo9000 yolov2 liteflownet panoramic jolibrain caffe2onnx tensorrt openvino "
    "openvino_training ncnn mnn cambricon synopsys"
)
DIALECTS: tuple[str, ...] = (BVLC, *_OTHERS.split())
"""By how common their files are: of dialects that explain a file equally well, the first is taken."""
MOST_PAIRS = 4096
"""Pairs of type and number that a guess looks at; a large net has fifty."""
FIRST_CONTESTED = 130
"""BVLC numbered its layers' parameters from 100 to 129 before forks began to add theirs."""
_PARAMETERS = {
    "DepthwiseConvolution": "convolution_param", "ConvolutionDepthwise": "convolution_param", "Normalize": "norm_param",
    "Lstm": "lstm_param", "SpatialTransformer": "st_param", "WarpCTCLoss": "ctc_param", "CtcLoss": "ctc_loss_param",
    "ImageSegData": "image_data_param", "SegData": "seg_data_param", "DataAugmentation": "augmentation_param",
    "RPNProposalSSD": "", "SoftmaxWithLossOHEM": "softmax_param", "SmoothL1LossOHEM": "smooth_l1_loss_param",
    "CTCGreedyDecoder": "ctc_decoder_param", "UnPooling": "unpooling_param", "SyncBN": "bn_param",
}  # fmt: skip
"""Forks' layer types whose parameters are not called like them."""

Evidence = Counter[tuple[str, int]]
"""How often a number stands in layers of a type."""


@dataclass(frozen=True)
class Dialect:
    """What the numbers of a file mean."""

    name: str

    def layer_field(self, number: int, kind: str, old: bool = False) -> str | None:
        """The field that a number is in a layer of type `kind`, None where it has none; `old`: in the V1 format."""
        table = numbers.V1 if old else numbers.V2
        own = table.get(number, {}).get(self.name) or _bvlc("V1LayerParameter" if old else "LayerParameter").get(number)
        if own is None or old or number < FIRST_CONTESTED:
            return own
        wanted = parameters_of(kind)
        return own if wanted is None or own == wanted or not own.endswith("_param") else None

    def field(self, message: str, number: int) -> str | None:
        """The field that a number is in a message within a layer, None where there is none."""
        moved = layouts.BY_DIALECT.get(self.name, {}).get(message, {})
        if number in moved:
            return moved[number]
        found = _bvlc(message).get(number) or layouts.COMMON.get(message, {}).get(number)
        return None if found in moved.values() else found

    def enum(self, name: str, number: int) -> str | None:
        """The word of an enum's number where this dialect has another one than BVLC's schema."""
        if name == "LayerType":
            return layouts.V1_TYPES.get(self.name, {}).get(number)
        return layouts.ENUMS.get(self.name, {}).get(name, {}).get(number)


def named(name: str) -> Dialect:
    """The dialect of a name. Raises NetcError E806."""
    if name not in DIALECTS:
        raise NetcError(f"there is no dialect `{name}`", code="E806", help=did_you_mean(name, DIALECTS))
    return Dialect(name)


def guess(found: Mapping[tuple[str, int], int], old: bool = False) -> tuple[Dialect, tuple[tuple[str, int], ...]]:
    """The dialect that explains most of what stands in a file, and the pairs of type and number that told it."""
    best = BVLC
    told: tuple[tuple[str, int], ...] = ()
    foreign = [pair for pair in islice(found, MOST_PAIRS) if not _explains(BVLC, *pair, old)]
    for name in DIALECTS[1:]:
        pairs = tuple(pair for pair in foreign if _explains(name, *pair, old))
        if len(pairs) > len(told):
            best, told = name, pairs
    return Dialect(best), told


def _explains(dialect: str, kind: str, number: int, old: bool) -> bool:
    """Whether a number is the parameters that a layer type has, in a dialect."""
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
"""In the V1 format types are numbers: those of forks with their parameters, which BVLC's types of the number lack."""


@lru_cache(maxsize=4096)
def parameters_of(kind: str) -> str | None:
    """The field with the parameters of a layer type; empty where it has none, None for a type that nobody knows.

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
