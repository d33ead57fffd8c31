"""Replaces `input`, `input_shape` and `input_dim` of a net by an Input layer before all others (UpgradeNetInput)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import respelled, single, substitute
from netc.text import Field, Message, Scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.frontends.caffe.upgrade.findings import Findings

FIELDS = ("input", "input_shape", "input_dim")
LAYERS = ("layer", "layers")


def upgrade_inputs(root: Message, findings: Findings) -> None:
    """Replace the fields that declare inputs by an Input layer.

    Inputs without a shape, which Caffe leaves out, become tops with an unknown shape unless a layer also produces them.
    Reports E031 and changes nothing if the numbers of inputs and shapes differ.
    """
    old = [field for field in root.fields if field.name in FIELDS]
    tops = [value for field in old if field.name == "input" for value in field.values]
    if not tops:
        return
    shapes, dims = _parts(old, "input_shape"), _parts(old, "input_dim")
    if _fault(tops, shapes, dims, old, findings):
        return
    blobs = [shape.values[0] for shape in shapes] or [_shape(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if not blobs and _tops(root) & {top.raw.strip("\"'") for top in tops if isinstance(top, Scalar)}:
        substitute(root, dict.fromkeys(old, ()))
        findings.note("W033", "`input` without a shape that is also the top of a layer: ignored", old[0].name_span)
        return
    _replace(root, old, _layer(old, tops, blobs))
    names = ("input", "input_shape" if shapes else "input_dim")
    message = f"`{names[0]}` and `{names[1]}` of a net" if blobs else "`input` of a net, without a shape"
    findings.note("W033", f"{message}: read as an `Input` layer", old[0].name_span)


def _tops(root: Message) -> set[str]:
    """The names of the tops of all layers."""
    layers = [layer for name in LAYERS for layer in root.messages(name)]
    return {top.raw.strip("\"'") for layer in layers for top in layer.get("top") if isinstance(top, Scalar)}


def _parts(old: Sequence[Field], name: str) -> list[Field]:
    return [part for field in old if field.name == name for part in single(field)]


def _fault(
    tops: Sequence[Scalar | Message], shapes: list[Field], dims: list[Field], old: list[Field], findings: Findings
) -> bool:
    """Report missing or extra shapes, for which Caffe fails or reads out of bounds; return whether there are any."""
    count = len(tops)
    if shapes and len(shapes) != count:
        message = f"expected {count} `input_shape`, got {len(shapes)}"
    elif dims and not shapes and len(dims) != 4 * count:
        message = f"expected {4 * count} values of `input_dim`, got {len(dims)}"
    else:
        return False
    help = "`input_dim` takes four values per input" if not shapes else "each input needs one `input_shape`"
    findings.note("E031", message, old[0].name_span, help=help)
    return True


def _shape(dims: Sequence[Field]) -> Message:
    for dim in dims:
        dim.name = "dim"
    return Message(list(dims))


def _layer(old: Sequence[Field], tops: Sequence[Scalar | Message], shapes: Sequence[Scalar | Message]) -> Field:
    """Create the Input layer, whose parts keep their positions in the file."""
    name, kind = (respelled(tops[0], f'"{text}"') for text in ("input", "Input"))
    fields = [Field("name", [name]), Field("type", [kind])]
    for top in _parts(old, "input"):
        top.name = "top"
        fields.append(top)
    if shapes:
        fields.append(Field("input_param", [Message([Field("shape", [shape]) for shape in shapes])]))
    return Field("layer", [Message(fields)])


def _replace(root: Message, old: Sequence[Field], layer: Field) -> None:
    """Insert the layer at the first input, or before the first layer of the net if that comes earlier."""
    instead: dict[Field, Sequence[Field]] = dict.fromkeys(old, ())
    at = next(field for field in root.fields if field.name in LAYERS or field in instead)
    if at in instead:
        instead[at] = (layer,)
        substitute(root, instead)
    else:
        substitute(root, instead)
        root.fields.insert(root.fields.index(at), layer)
