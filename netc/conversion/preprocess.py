"""The preprocessing of images before a net: from its files or from options; and the sidecar that records it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from netc import compiler, paths
from netc.diagnostics import NetcError, Source
from netc.exporters.input_stage import InputStage
from netc.files import exists, is_file
from netc.frontends import PHASES, TEST_STATE, NetDefinition, StateChoice, read_net
from netc.ir.dims import known, text
from netc.ir.transform import Transform
from netc.weights import atomic_write, read_blob
from netc.weights.numpy_file import read_npy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from netc.ir.augmentation import Resize
    from netc.ir.graph import Graph, Node, State
    from netc.passes.arrays import Array

Order = Literal["bgr", "rgb", "gray"]
TRAINING_FILES = ("train_val.prototxt", "train_test.prototxt", "train.prototxt")
"""Files next to a deploy.prototxt that describe the training data, by Caffe's convention."""


@dataclass(frozen=True, eq=False)
class Preprocess:
    """Decode, resize, crop the center, order the channels, subtract the mean, scale."""

    input: str
    """The blob that is fed."""
    crop: tuple[int, int]
    """Height and width of the center crop: those of the input."""
    order: Order = "bgr"
    """The order of channels in the input; Caffe's images are BGR."""
    resize: tuple[int, int] | None = None
    """Height and width before the crop; None resizes to `crop` itself."""
    mean: Array | None = None
    """(1, 1, 1), (c, 1, 1) or (c, h, w) in the input's order; a mean image may have the size before the crop."""
    scale: float = 1.0
    fit: Resize | None = None
    """The resize of the training net if it keeps the aspect ratio and pads; only `detect` applies it."""

    @property
    def stage(self) -> InputStage:
        """The part after the crop, for an exported model."""
        mean = np.zeros((1, 1, 1), np.float32) if self.mean is None else center_crop(self.mean, self.crop)
        return InputStage(self.order == "bgr", np.asarray(mean, np.float32), self.scale)

    def plain(self) -> dict[str, Any]:
        """The sidecar's values; a mean image is reduced to the mean of each channel."""
        mean = None if self.mean is None else [round(float(m), 6) for m in self.mean.mean((1, 2))]
        resize = list(self.resize or self.crop)
        return {
            "input": self.input,
            "order": self.order,
            "resize": resize,
            "interpolation": "bilinear",
            "crop": list(self.crop),
            "mean": mean,
            "mean_image": self.mean is not None and self.mean.shape[1:] != (1, 1),
            "scale": self.scale,
        }


@dataclass(frozen=True)
class PreprocessOptions:
    """Settings that override those of the files; None keeps the files'."""

    mean: str | Sequence[float] | None = None
    """Numbers, or a .binaryproto or .npy file."""
    scale: float | None = None
    order: Order | None = None
    resize: tuple[int, int] | None = None


def center_crop(image: Array, size: tuple[int, int]) -> Array:
    """The center of planes (c, h, w), its corner rounded down as in Caffe. Raises NetcError E505.

    A mean per channel, (c, 1, 1), is returned unchanged.
    """
    _, h, w = image.shape
    if (h, w) == (1, 1):
        return image
    top, left = (h - size[0]) // 2, (w - size[1]) // 2
    if top < 0 or left < 0:
        raise NetcError(f"an image of {h}x{w} is smaller than the crop of {size[0]}x{size[1]}", code="E505")
    return image[:, top : top + size[0], left : left + size[1]]


def find_preprocess(
    graph: Graph,
    path: str | Path | Source,
    options: PreprocessOptions | None = None,
    state: StateChoice = TEST_STATE,
) -> Preprocess:
    """Return the preprocessing of a net's first input of images.

    Options come first, then the `transform_param` of the net's own data layer, then that of the training net next to
    it. Raises NetcError E802 where the net has no input of images, E401 and others for a mean that cannot be read.
    """
    options = options or PreprocessOptions()
    made = _bare(graph)
    fields = next((found for file in _candidates(path) if (found := _data_layer(file, state))), None)
    if fields is not None:
        made = _from_layer(made, fields, use_mean=options.mean is None)
    mean = made.mean if options.mean is None else read_mean(options.mean)
    made = replace(
        made, mean=mean, order=made.order if options.order is None or made.order == "gray" else options.order
    )
    resize = options.resize or made.resize
    if resize is None and mean is not None and mean.shape[1:] != (1, 1):
        resize = (mean.shape[1], mean.shape[2])  # a mean image has the size of the training images
    return replace(made, scale=made.scale if options.scale is None else options.scale, resize=resize)


def _bare(graph: Graph) -> Preprocess:
    for name in graph.inputs:
        shape = graph.shape(name)
        if shape is not None and len(shape) == 4 and shape[1] in (1, 3) and all(map(known, shape[2:])):
            order: Order = "gray" if shape[1] == 1 else "bgr"
            return Preprocess(graph.values[name].blob, (shape[2], shape[3]), order)
    shapes = ", ".join(f"{graph.values[name].blob}{text(graph.shape(name))}" for name in graph.inputs)
    blob = next((graph.values[name].blob for name in graph.inputs if graph.shape(name) is None), None)
    help = None if blob is None else f"pass the shape of the images: `--shape {blob}=N,C,H,W`"
    found = "the net has no input of images with one or three channels"
    raise NetcError(found, code="E802", notes=[f"inputs: {shapes}"], help=help)


def _candidates(path: str | Path | Source) -> list[Path | Source]:
    own = path if isinstance(path, Source) else Path(path)
    file = Path(own.name if isinstance(own, Source) else own)
    # shapes_deploy.prototxt is next to shapes_train_test.prototxt.
    alike = [file.name.replace("deploy.prototxt", name) for name in TRAINING_FILES]
    names = [name for name in alike if name != file.name]
    return [own, *(file.parent / name for name in dict.fromkeys((*names, *TRAINING_FILES)))]


def _data_layer(path: Path | Source, state: StateChoice) -> Node | None:
    """The first data layer with a transform: of the state, preferably in TEST, else of any state of the file."""
    if isinstance(path, Path) and not is_file(path):
        return None
    definition = read_net(path)
    if definition.report.errors:
        return None
    for one in _states(definition, state):
        graph, _ = compiler.checked_graph(definition, one)
        for node in graph.nodes:
            if node.layer.is_data and isinstance(getattr(node.layer, "transform", None), Transform):
                return node
    return None


def _states(definition: NetDefinition, state: StateChoice) -> Iterator[State]:
    """The requested state in both phases; then those that the file distinguishes, such as a stage for training."""
    yield from (replace(state, phase=phase).of(definition) for phase in reversed(PHASES))
    yield from definition.states(definition.state("TEST"))


def _from_layer(made: Preprocess, node: Node, use_mean: bool) -> Preprocess:
    layer: Any = node.layer
    transform: Transform = layer.transform
    height, width = getattr(layer, "new_height", 0), getattr(layer, "new_width", 0)
    mean = None
    if use_mean and transform.mean_value:
        mean = np.reshape(np.array(transform.mean_value, np.float32), (-1, 1, 1))
    elif use_mean and transform.mean_file:
        mean = _mean_file(transform.mean_file, node)
    fit = transform.resize_param
    pads = fit is not None and fit.resize_mode == "FIT_LARGE_SIZE_AND_PAD"
    resize = (height, width) if height else None
    return replace(made, scale=layer.factor, mean=mean, resize=resize, fit=fit if pads else None)


def _mean_file(name: str, node: Node) -> Array:
    found, _ = paths.find(name, node.origin.file)
    if not exists(found):
        raise NetcError(
            f"the mean file `{name}` does not exist",
            code="E401",
            span=node.origin.span("mean_file"),
            help="pass the mean: `--mean 104,117,123` or `--mean mean.binaryproto`",
        )
    return _read_mean(found)


def read_mean(mean: str | Sequence[float]) -> Array:
    """The mean of a setting, (c, h, w) or (c, 1, 1). Raises NetcError for a file that does not contain one."""
    if isinstance(mean, str):
        return _read_mean(Path(mean))
    return np.reshape(np.array(mean, np.float32), (-1, 1, 1))


def _read_mean(path: Path) -> Array:
    """Read a mean as (c, h, w): a .npy, or a BlobProto."""
    values: Array = read_npy(path) if path.suffix == ".npy" else read_blob(path)
    values = np.array(values, np.float32)
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    values = values.reshape(-1, 1, 1) if values.ndim < 2 else values
    if values.ndim != 3:
        raise NetcError(f"the mean in `{path}` has the shape {text(values.shape)}, not (c, h, w)", code="E404")
    return values


def write_sidecar(path: Path, values: Mapping[str, Any]) -> None:
    """Write the JSON file next to a model."""
    with atomic_write(path) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
