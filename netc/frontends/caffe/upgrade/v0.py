"""V0 -> V1: `layers { layer { ... } }`, one flat message for every type, and padding as a layer.

Source: `upgrade_proto.cpp` of BVLC Caffe (UpgradeV0PaddingLayers, UpgradeV0LayerParameter). Types are upgraded to V2
directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import (
    comments,
    expand,
    first_word,
    message_of,
    put_above,
    respelled,
    single,
    substitute,
    word,
)
from netc.frontends.caffe.upgrade.v1 import types
from netc.text import Field, Message, Scalar

if TYPE_CHECKING:
    from netc.diagnostics import Span
    from netc.frontends.caffe.upgrade.findings import Findings

_V1 = {"conv": "CONVOLUTION", "images": "IMAGE_DATA", "innerproduct": "INNER_PRODUCT", "pool": "POOLING"}
_SAME = (
    "accuracy bnll concat data dropout euclidean_loss flatten hdf5_data hdf5_output im2col infogain_loss lrn "
    "multinomial_logistic_loss relu sigmoid softmax softmax_loss split tanh window_data"
).split()
TYPES = _V1 | {name: name.upper() for name in _SAME}
"""The V1 type of each V0 type except padding."""

_WEIGHTED = {"conv": "convolution_param", "innerproduct": "inner_product_param"}
_SLIDING = {"conv": "convolution_param", "pool": "pooling_param"}
_READING = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "window_data": "window_data_param",
}
_SKIPPING = {"data": "data_param", "images": "image_data_param"}
_IMAGES = {"images": "image_data_param"}
_WINDOWS = {"window_data": "window_data_param"}
_LRN = {"lrn": "lrn_param"}
_TRANSFORM = dict.fromkeys(TYPES, "transform_param")

Target = tuple[str, Mapping[str, str]]
FIELDS: dict[str, Target] = {
    "num_output": ("num_output", _WEIGHTED),
    "biasterm": ("bias_term", _WEIGHTED),
    "weight_filler": ("weight_filler", _WEIGHTED),
    "bias_filler": ("bias_filler", _WEIGHTED),
    "pad": ("pad", _SLIDING),
    "kernelsize": ("kernel_size", _SLIDING),
    "group": ("group", {"conv": "convolution_param"}),
    "stride": ("stride", _SLIDING),
    "pool": ("pool", {"pool": "pooling_param"}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", _READING | {"infogain_loss": "infogain_loss_param"}),
    "scale": ("scale", _TRANSFORM),
    "meanfile": ("mean_file", _TRANSFORM),
    "batchsize": ("batch_size", _READING),
    "cropsize": ("crop_size", _TRANSFORM),
    "mirror": ("mirror", _TRANSFORM),
    "rand_skip": ("rand_skip", _SKIPPING),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_num": ("", {}),
    "new_channels": ("", {}),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOWS),
    "det_bg_threshold": ("bg_threshold", _WINDOWS),
    "det_fg_fraction": ("fg_fraction", _WINDOWS),
    "det_context_pad": ("context_pad", _WINDOWS),
    "det_crop_mode": ("crop_mode", _WINDOWS),
}
"""The new name of each field, and the message that contains it by layer type."""


def is_old(root: Message) -> bool:
    """Whether a net has V0 layers."""
    return any(field.name == "layer" for layer in root.messages("layers") for field in layer.fields)


def upgrade_layers(root: Message, findings: Findings) -> frozenset[Message]:
    """Upgrade every V0 layer of a net to V1 (still `layers`) with a V2 type; return these layers."""
    _padding(root, findings)
    done = []
    for outer in root.messages("layers"):
        field = next((field for field in outer.named("layer") if field.values), None)
        if field is not None and isinstance(field.values[0], Message):
            message = "`layers { layer { ... } }` is the V0 format of 2013: read as `layer`"
            findings.note("W030", message, field.name_span)
            _Layer(outer, field, field.values[0], findings).upgrade()
            done.append(outer)
    return frozenset(done)


class _Layer:
    """A layer that is being upgraded."""

    def __init__(self, outer: Message, field: Field, inner: Message, findings: Findings) -> None:
        self.outer, self.field, self.inner, self.findings = outer, field, inner, findings
        self.kind = first_word(inner, "type") or ""

    def upgrade(self) -> None:
        """Move the fields of the inner message to the outer message and its parameters."""
        self.keep_comments()
        plain = [f for f in self.inner.fields if f.name not in FIELDS]
        moved = [f for f in self.inner.fields if f.name in FIELDS]
        for field in plain:
            if field.name == "type" and field.values:
                field.values[0] = self.type_of(field.values[0])
        if moved:
            expand(self.outer)
        head = [f for f in plain if f.name in ("name", "type")]
        rest = [f for f in plain if f.name not in ("name", "type")]
        others = [f for f in self.outer.fields if f is not self.field]
        self.outer.fields = [*head, *others, *rest]
        for field in moved:
            self.move(field)

    def keep_comments(self) -> None:
        """Keep the comments at the braces of the inner message, which is removed."""
        inner, field = self.inner, self.field
        head = inner.source.text[inner.start + 1 : inner.home] if inner.source else ""
        lead = field.lead_source
        indent = lead[lead.rfind("\n") + 1 :] if "\n" in lead else ""
        if inner.fields:
            put_above(inner.fields[0], [*comments(lead), *comments(head)], indent)
        below = [*comments(inner.tail_source), *comments(field.trail_source)]
        if below:
            self.outer.tail_text = "".join("\n" + indent + line for line in below) + self.outer.tail_source

    def type_of(self, value: Scalar | Message) -> Scalar | Message:
        """Return the V2 name of a type; an unknown type is not changed."""
        name = TYPES.get(word(value) or "")
        return value if name is None else respelled(value, f'"{types()[name]}"')

    def move(self, field: Field) -> None:
        """Move a field to the parameters of the layer type. As in Caffe, fields unknown to the type are dropped."""
        name, messages = FIELDS[field.name]
        target = messages.get(self.kind)
        if target is None and self.kind in TYPES:
            message = f"`{field.name}` has no effect in a V0 layer of type `{self.kind}`: ignored"
            self.findings.note("W038", message, field.name_span, help=None)
        elif target is None:
            self.outer.fields.append(field)
        else:
            field.name = name
            message_of(self.outer, target).fields.append(field)


def _padding(root: Message, findings: Findings) -> None:
    """Fold padding layers into the `pad` of the layers that read them."""
    source: dict[str, Message] = {}
    removed: dict[Field, tuple[Field, ...]] = {}
    for field in root.fields:
        if field.name != "layers" or not field.values or not isinstance(field.values[0], Message):
            continue
        outer = field.values[0]
        kind = _kind(outer)
        if kind == "padding":
            removed[field] = ()
        for value in outer.get("bottom"):
            before = source.get(word(value) or "")
            if before is not None and _kind(before) == "padding":
                _fold(before, outer, kind, value.span, findings)
        source.update((word(top) or "", outer) for top in outer.get("top"))
    if removed:
        substitute(root, removed, keep_comments=True)


def _fold(padding: Message, outer: Message, kind: str, span: Span | None, findings: Findings) -> None:
    """Fold a padding layer into a layer that reads it, which Caffe supports only for convolution and pooling."""
    below, bottoms = padding.get("bottom"), [f for f in outer.fields if f.name == "bottom"]
    if kind not in _SLIDING or len(outer.get("bottom")) != 1 or len(below) != 1 or len(padding.get("top")) != 1:
        message = f"a padding layer before a layer of type `{kind}`, or with several blobs"
        findings.note("E032", message, span, ("Caffe pads the one bottom of `conv` and `pool`",), None)
        return
    bottoms[0].values[0] = below[0]
    inner = outer.messages("layer")[0]
    pads = padding.messages("layer")[0].named("pad")
    for old in inner.named("pad"):
        inner.remove(old)
    inner.fields += single(pads[-1]) if pads else []


def _kind(outer: Message) -> str:
    """The V0 type of a layer."""
    inner = outer.messages("layer")
    return (first_word(inner[0], "type") or "") if inner else ""
