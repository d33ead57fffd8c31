"""Batches of made-up numbers for a net: images, and labels that its layers accept.

    record_probe(record)              the shapes of a data layer's records
    given_shapes(graph, items, image)   shapes for the inputs, of which those that the file leaves open are made up
    batch(graph)                      a tensor for each input, by blob

An input's role is that of the layers that read it, directly or behind layers that only move elements. Random numbers
are the same in each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from netc.ir.dims import Shape, known
from netc.layers.detection.annotated_data import BOX, AnnotatedData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netc.ir.graph import Graph, Node
    from netc.ir.shapes import Probe

FRAMES = 16
"""Frames of a video."""
TRUTHS = 2
"""Boxes of an image."""
SEQUENCE = 4
"""Labels of a sequence."""
LIST = 5
"""Numbers of a box of YOLO: class, and x, y of the center, width, height in fractions of the image."""

ROWS, LISTS, SEQUENCES, REGIONS, TRUE_REGIONS, SIZES = "rows", "lists", "sequences", "regions", "true regions", "sizes"
COUNTED = "counted boxes"
MAPS, OBJECTS, PROJECTIONS, MODELS = "maps", "objects", "projections", "models"
ROLES = {
    ("MultiBoxLoss", 3): ROWS,
    ("DetectionEvaluate", 1): ROWS,
    ("EvalDetection", 1): ROWS,
    ("DetectionLoss", 1): MAPS,
    ("DetectionAccuracy", 1): MAPS,
    ("ProposalTarget", 1): OBJECTS,
    ("ProposalTarget", 2): PROJECTIONS,
    ("ProposalTarget", 3): MODELS,
    ("RegionLoss", 1): LISTS,
    ("Yolov3", 1): LISTS,
    ("WarpCTCLoss", 1): SEQUENCES,
    ("CTCGreedyDecoder", 1): SEQUENCES,
    ("LabelsequenceAccuracy", 1): SEQUENCES,
    ("ROIPooling", 1): REGIONS,
    ("PSROIPooling", 1): REGIONS,
    ("ROIAlign", 1): REGIONS,
    ("DetectNetTransformation", 1): COUNTED,
}
"""The role of a bottom, by layer type and index, where its shape and values are not those of an image or of indices."""
NAMES = {"rois": REGIONS, "gt_boxes": TRUE_REGIONS, "im_info": SIZES}
"""The role of a blob, by its name in the programs of Fast and Faster R-CNN."""


def record_probe(record: Shape) -> Probe:
    """Return the probe of records of one image shape: labels are one number, boxes, or the truth of a video."""

    def probe(node: Node) -> tuple[Shape, ...]:
        side = getattr(getattr(node.layer, "transform", None), "crop_size", 0) or 0
        image = (record[0], *(max(extent, side) for extent in record[1:]))
        if node.layer.fed_by == "voxel truth":
            size = (FRAMES, image[1] + 1, image[2] + 1)
            return (record[0], *size), (1, *size)
        label: Shape = (1, BOX) if isinstance(node.layer, AnnotatedData) else ()
        return (image, *(label,) * (len(node.tops) - 1))

    return probe


def inputs(graph: Graph) -> list[str]:
    """Return the values that come from outside the net."""
    return [*graph.inputs, *(top for node in graph.nodes if node.layer.is_data for top in node.tops)]


def given_shapes(graph: Graph, items: int | None, image: Shape, inferred: Graph | None = None) -> dict[str, Shape]:
    """Return shapes of the inputs: for `items` items, or as many as the file says, with an image where it is open.

    `inferred` is the graph with the shapes of an earlier call: a target has the shape of what it is compared with.
    """
    sizes = {top: getattr(node.layer, "batch_size", 0) for node in graph.nodes for top in node.tops}
    found = {}
    for name in inputs(graph):
        shape, count = graph.shape(name), items or sizes.get(name, 0) or 2
        other = _compared(graph, inferred, name) if shape is None and inferred else None
        found[graph.values[name].blob] = other or _given(graph, name, sizes.get(name, 0), count, image)
    return found


def _compared(graph: Graph, inferred: Graph, name: str) -> Shape | None:
    """Return the shape that a target or a mask has to have, because of the first bottom of the layer that reads it."""
    if graph.is_index(name):
        return None
    for node in graph.readers[name]:
        shape, index = inferred.shape(node.bottoms[0]), node.bottoms.index(name)
        if not index or shape is None or not all(map(known, shape)):
            continue
        if node.layer.is_loss:
            return shape
        if node.layer.type == "MaskPooling" and len(shape) == 4:
            return (shape[0], 1, *shape[2:])
    return None


def _given(graph: Graph, name: str, own: int, count: int, image: Shape) -> Shape:
    """Return the shape of an input of a layer whose batch has `own` items; the batch is to have `count`."""
    shape, role = graph.shape(name), role_of(graph, name)
    if shape is None or (role == SEQUENCES and len(shape) == 1):
        return _usual(role, graph.is_index(name), count, image)
    extents = list(shape)
    if role == ROWS and len(shape) == 4:
        return (1, 1, TRUTHS * count, BOX)
    if role == LISTS and len(shape) == 1:
        return (count, TRUTHS * LIST)
    if role == OBJECTS:
        return (TRUTHS * count, *shape[1:])
    if len(extents) == 4:
        extents[1:] = [extent if known(extent) else size for extent, size in zip(extents[1:], image)]
    if extents and (not known(extents[0]) or extents[0] == own):
        extents[0] = count
    return tuple(extent if known(extent) else 1 for extent in extents)


def _usual(role: str, is_index: bool, count: int, image: Shape) -> Shape:
    """Return the shape of an input of unknown axes."""
    shapes: dict[str, Shape] = {
        ROWS: (1, 1, TRUTHS * count, BOX),
        LISTS: (count, TRUTHS * LIST),
        SEQUENCES: (count, SEQUENCE),
        REGIONS: (count, 5),
        TRUE_REGIONS: (TRUTHS, 5),
        SIZES: (1, 3),
    }
    return shapes.get(role, (count,) if is_index else (count, *image))


def role_of(graph: Graph, name: str) -> str:
    """Return the role of an input; empty for images, features and indices."""
    blob, shape = graph.values[name].blob, graph.shape(name)
    if shape is not None and len(shape) == 4 and shape[3] == BOX:
        return ROWS
    found = (ROLES[node.layer.type, index] for node, index in _uses(graph, name) if (node.layer.type, index) in ROLES)
    return next(found, NAMES.get(blob, ""))


def _uses(graph: Graph, name: str) -> Iterator[tuple[Node, int]]:
    """Yield the bottoms that read a value, directly or behind layers that only move elements."""
    for node in graph.readers[name]:
        for index, bottom in enumerate(node.bottoms):
            if bottom == name:
                yield node, index
        if node.layer.elements == "moved":
            for top in node.tops:
                yield from _uses(graph, top)


def batch(graph: Graph) -> dict[str, torch.Tensor]:
    """Return a tensor for each input, by blob. Raises ValueError for a shape that is unknown."""
    from netc.data.feeds.random_feed import _is_index

    torch.manual_seed(1)
    shapes = {name: graph.shape(name) for name in inputs(graph)}
    size = next((shape[2:] for shape in shapes.values() if shape and len(shape) == 4 and shape[3] != BOX), (100, 100))
    found = {}
    for name, shape in shapes.items():
        if shape is None or not all(map(known, shape)):
            raise ValueError(f"the shape of `{graph.values[name].blob}` is unknown")
        make = MAKERS.get(role_of(graph, name)) or (_indices if _is_index(graph, name) else _numbers)
        found[graph.values[name].blob] = make(shape, size)
    return found


def _numbers(shape: Shape, _size: Shape) -> torch.Tensor:
    return torch.randn(shape)


def _indices(shape: Shape, _size: Shape) -> torch.Tensor:
    return torch.zeros(shape)


def _rows(shape: Shape, _size: Shape) -> torch.Tensor:
    """SSD's rows: item, class 1, instance, corners, difficult; items in order."""
    rows = torch.zeros(shape).reshape(-1, shape[-1])
    rows[:, 0] = torch.arange(len(rows)) // TRUTHS
    rows[:, 1] = 1
    corner = torch.rand(len(rows), 2) / 2
    rows[:, 3:5], rows[:, 5:7] = corner, corner + 0.2 + torch.rand(len(rows), 2) / 4
    return rows.reshape(shape)


def _lists(shape: Shape, _size: Shape) -> torch.Tensor:
    """YOLO's lists: two boxes of class 0 for each item, then zeros."""
    flat = torch.zeros(shape).reshape(shape[0], -1)
    for at in range(0, min(flat.shape[1] // LIST, TRUTHS) * LIST, LIST):
        flat[:, at + 1 : at + 3] = 0.3 + torch.rand(shape[0], 2) / 3
        flat[:, at + 3 : at + 5] = 0.1 + torch.rand(shape[0], 2) / 3
    return flat.reshape(shape)


def _regions(shape: Shape, size: Shape) -> torch.Tensor:
    """Regions of the first image: its number, and corners in pixels; further columns are random."""
    rows = torch.randn(shape)
    rows[:, 0] = 0
    rows[:, 1:5] = _corners(rows[:, 1:5], size)
    return rows


def _true_regions(shape: Shape, size: Shape) -> torch.Tensor:
    """Corners in pixels and the class 1."""
    rows = torch.ones(shape)
    rows[:, :4] = _corners(rows[:, :4], size)
    return rows


def _corners(like: torch.Tensor, size: Shape) -> torch.Tensor:
    corner, extent = torch.rand(len(like), 2, *like.shape[2:]), torch.rand(len(like), 2, *like.shape[2:])
    unit = torch.tensor([size[1], size[0]]).reshape(1, 2, *[1] * (like.dim() - 2)) / 2
    return torch.cat([corner * unit, (corner + 0.1 + 0.9 * extent) * unit], 1)


def _sizes(shape: Shape, size: Shape) -> torch.Tensor:
    """Height, width and scale."""
    return torch.tensor([*size, 1.0, *([1.0] * 3)])[: shape[-1]].expand(shape)


def _counted(shape: Shape, _size: Shape) -> torch.Tensor:
    """DetectNet's boxes: their number, the length of one, and one of class 1 in pixels."""
    flat = torch.zeros(shape).flatten(1)
    flat[:, 0], flat[:, 1] = 1, 16
    flat[:, 16:22] = torch.tensor([40.0, 50.0, 90.0, 80.0, 0.0, 1.0])
    return flat.reshape(shape)


def _maps(shape: Shape, size: Shape) -> torch.Tensor:
    """Labels of the positions of a map: class, center, width, height and overlap of an object at one position."""
    if len(shape) != 4 or shape[1] != 6:
        return torch.zeros(shape)
    labels, (row, column) = torch.zeros(shape), (shape[2] // 2, shape[3] // 2)
    y, x = (row + 0.5) * size[0] / shape[2], (column + 0.5) * size[1] / shape[3]
    labels[:, :, row, column] = torch.tensor([1, x, y, 60.0, 60.0, 0.75])
    return labels


def _objects(shape: Shape, size: Shape) -> torch.Tensor:
    """Rows of image, corners, class 1, not ignored; then length, height, width, location and rotation."""
    rows = torch.zeros(shape)
    rows[:, 0] = torch.arange(len(rows)).reshape(-1, *[1] * (len(shape) - 2)) // TRUTHS
    rows[:, 1:5] = _corners(rows[:, 1:5], size)
    rows[:, 5] = 1
    if shape[1] > 7:
        rows[:, 7:10], rows[:, 10:12], rows[:, 12] = 1.5, 0.5, 10
    return rows


def _projections(shape: Shape, size: Shape) -> torch.Tensor:
    """Two rows of projections on the middle of the image."""
    rows = torch.tensor([100.0, 0, size[1] / 2, 0, 100, size[0] / 2])
    return rows.reshape(1, 6, *[1] * (len(shape) - 2)).expand(shape)


def _models(shape: Shape, _size: Shape) -> torch.Tensor:
    """Identities."""
    return torch.eye(4).reshape(1, 16, *[1] * (len(shape) - 2)).expand(shape)


def _sequences(shape: Shape, _size: Shape) -> torch.Tensor:
    """Labels 1, 2, ... so that no two neighbors are equal."""
    return (torch.arange(shape[-1]) % 3 + 1).float().expand(shape)


MAKERS: dict[str, Callable[[Shape, Shape], torch.Tensor]] = {
    ROWS: _rows,
    LISTS: _lists,
    SEQUENCES: _sequences,
    REGIONS: _regions,
    TRUE_REGIONS: _true_regions,
    SIZES: _sizes,
    COUNTED: _counted,
    MAPS: _maps,
    OBJECTS: _objects,
    PROJECTIONS: _projections,
    MODELS: _models,
}
"""The values of each role."""
