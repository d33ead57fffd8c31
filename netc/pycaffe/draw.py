"""Graphs of nets as images: Caffe's `caffe.draw`, with pydot and Graphviz (extra `draw`).

    draw_net_to_file(net, "net.png")        the format is the suffix: png, svg, pdf, dot

`net` is a NetParameter. A layer is a box, a blob an octagon; a layer that works in place shares the box's blob.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.extras import import_extra
from netc.ir.layer import Layer
from netc.layers import layer_classes
from netc.pycaffe.mode import TEST, TRAIN
from netc.pycaffe.net_spec import param_field
from netc.schema import descriptor
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.pycaffe import files

__all__ = [
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
]

LAYER_STYLE = {"shape": "box", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "style": "filled", "fillcolor": "#E0E0E0"}
IN_PLACE, PLAIN, MATRIX, KERNEL, WINDOW = "#90EE90", "#6495ED", "#CC33FF", "#FF5050", "#FF9900"
"""Colors of layers that work in place; of others; of those with weights for all positions, with weights for a window,
and with a window without weights."""


def get_pydot_graph(
    caffe_net: Any,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """Return the graph of a NetParameter as a `pydot.Dot`.

    `rankdir` is LR, RL, TB or BT; `phase`, TRAIN or TEST, leaves out layers of the other one. Edges are labeled with
    the number of channels that a layer computes, layers with their learning rate multipliers if `display_lrm` is set.
    Raises NetcError E633 without pydot.
    """
    pydot = import_extra("pydot", "draw", "drawing a net")
    graph = pydot.Dot("net", graph_type="digraph", rankdir=rankdir)
    blobs: dict[str, str] = {}
    for index, layer in enumerate(_shown(caffe_net, phase)):
        own = f"layer_{index}"
        color = IN_PLACE if _is_in_place(layer) else choose_color_by_layertype(layer.type)
        label = _quoted(get_layer_label(layer, rankdir, display_lrm))
        graph.add_node(pydot.Node(own, label=label, fillcolor=color, **LAYER_STYLE))
        for name in layer.bottom:
            graph.add_edge(pydot.Edge(_blob(pydot, graph, blobs, name), own, label='""'))
        label = _quoted(get_edge_label(layer) if label_edges else "")
        for name in layer.top:
            graph.add_edge(pydot.Edge(own, _blob(pydot, graph, blobs, name), label=label))
    return graph


def draw_net(
    caffe_net: Any, rankdir: str = "LR", ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """Return the image of a net in a format of Graphviz.

    Raises NetcError E633 without pydot or Graphviz, E309 for a format that Graphviz cannot write.
    """
    text: str = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).to_string()
    if ext == "dot":
        return text.encode()
    if not ext.isalnum():
        raise NetcError(f"unknown image format `{ext}`", code="E309")
    try:
        done = subprocess.run(["dot", f"-T{ext}"], input=text.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        message = "drawing a net needs the program `dot`, which is not installed"
        help = "install Graphviz: its package is usually called `graphviz`"
        raise NetcError(message, code="E633", help=help) from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise NetcError(f"Graphviz cannot draw the net as `{ext}`: {reason}", code="E309")
    return done.stdout


def draw_net_to_file(
    caffe_net: Any,
    filename: files.Path,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write the image of a net; the suffix of the file is the format.

    Raises NetcError E309 for an unknown format, E408 if the file cannot be written, E633 as `draw_net`.
    """
    ext = Path(os.fsdecode(filename)).suffix.lstrip(".").lower() or "png"
    image = draw_net(caffe_net, rankdir, ext, phase, display_lrm)
    with atomic_write(os.fsdecode(filename)) as file:
        file.write(image)


def get_layer_label(layer: Any, rankdir: str = "LR", display_lrm: bool = False) -> str:
    """Return the text in the box of a layer: name, type, and its window and learning rate multipliers if it has any."""
    separator = " " if rankdir in ("TB", "BT") else "\n"
    rates = display_lrm and _number_of_weights(layer) > 0
    lines = [f"lr mult: {', '.join(f'{rate:.1f}' for rate in get_layer_lr_mult(layer))}"] if rates else []
    return separator.join([layer.name, f"({layer.type})", *_window(layer), *lines])


def get_layer_lr_mult(layer: Any) -> tuple[float, ...]:
    """Return the learning rate multipliers of weight and bias. Raises ValueError for a layer without weights."""
    if not _number_of_weights(layer):
        raise ValueError(f"layers of type `{layer.type}` do not learn")
    rates = [param.lr_mult for param in layer.param]
    return (*rates, *[1.0] * (2 - len(rates)))


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of the kinds of pooling by number.

    >>> get_pooling_types_dict()[0]
    'MAX'
    """
    methods = descriptor("PoolingParameter").enum_types_by_name["PoolMethod"]
    return {number: value.name for number, value in methods.values_by_number.items()}


def choose_color_by_layertype(layertype: str) -> str:
    """Return the color of a layer type: by whether it has weights, and how many positions it sees."""
    for cls in layer_classes(layertype)[:1]:
        has_window = cls.coordinate_map is not Layer.coordinate_map
        if cls.weights is not Layer.weights:
            return MATRIX if cls.sees == "all" else KERNEL if has_window else PLAIN
        if has_window and cls.elements == "computed":
            return WINDOW
    return PLAIN


def get_edge_label(layer: Any) -> str:
    """Return the number of channels that a layer computes, or of items that it reads."""
    parameters = _parameters(layer)
    for field, text in (("num_output", "{}"), ("batch_size", "Batch {}")):
        if parameters is not None and field in parameters.DESCRIPTOR.fields_by_name:
            return text.format(getattr(parameters, field))
    return ""


def _parameters(layer: Any) -> Any:
    """The message with the parameters of a layer, None if its type has none."""
    name = param_field(layer.type)
    return getattr(layer, name) if name else None


def _number_of_weights(layer: Any) -> int:
    """The number of blobs that a layer type learns, as far as the type alone tells; 0 for an unknown type."""
    classes = layer_classes(layer.type)[:1]
    return max([len(layer.param), *(2 for cls in classes if cls.weights is not Layer.weights)])


def _window(layer: Any) -> Iterator[str]:
    parameters = _parameters(layer)
    fields = parameters.DESCRIPTOR.fields_by_name if parameters is not None else {}
    if "kernel_size" not in fields:
        return
    if "pool" in fields:
        yield fields["pool"].enum_type.values_by_number[parameters.pool].name
    for name, default in (("kernel_size", 1), ("stride", 1), ("pad", 0)):
        values = getattr(parameters, name)
        values = list(values) if hasattr(values, "__len__") else [values]
        yield f"{name.replace('_', ' ')}: {' x '.join(map(str, values or [default]))}"


def _shown(net: Any, phase: int | None) -> list[Any]:
    """The layers of a phase; all of them if it is None."""
    if phase not in (TRAIN, TEST):
        return list(net.layer)
    return [layer for layer in net.layer if _is_included(layer, phase)]


def _is_included(layer: Any, phase: int) -> bool:
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _is_in_place(layer: Any) -> bool:
    return len(layer.bottom) == 1 == len(layer.top) and layer.bottom[0] == layer.top[0]


def _blob(pydot: Any, graph: Any, blobs: dict[str, str], name: str) -> str:
    if name not in blobs:
        blobs[name] = f"blob_{len(blobs)}"
        graph.add_node(pydot.Node(blobs[name], label=_quoted(name), **BLOB_STYLE))
    return blobs[name]


def _quoted(text: str) -> str:
    """Return a text as a string of the dot language; control characters other than line ends are replaced."""
    plain = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", "?", text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
