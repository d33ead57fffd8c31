"""`convert`: a net with its weights, in the form that others run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from netc.conversion import preprocess as preprocessing
from netc.conversion.models import Files, Misfits, listed, net_of, open_net, read_state, weighted
from netc.conversion.preprocess import Preprocess, Told
from netc.conversion.rebuilt import described
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.exporters.python.names import Identifiers
from netc.exporters.stage import InputStage
from netc.ir.dims import Shape
from netc.ir.graph import Graph
from netc.layers.cross_entropy import SoftmaxWithLoss
from netc.passes.arrays import Weighted
from netc.passes.drop_identities import drop_identities
from netc.passes.drop_losses import drop_losses
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.losses_to_scores import losses_to_scores
from netc.runtime.lower import Net
from netc.weights import Blob, LayerBlobs, Weights, atomic_path, atomic_write, read, write_caffemodel

Format = Literal["safetensors", "pt", "caffe", "py", "onnx", "pt2"]
Half = Literal["fp16", "bf16"]
DTYPES: dict[str | None, str] = {None: "float32", "fp16": "float16", "bf16": "bfloat16"}
SUFFIXES: dict[Format, str] = {
    "safetensors": ".safetensors",
    "pt": ".pt",
    "caffe": ".prototxt",
    "py": ".py",
    "onnx": ".onnx",
    "pt2": ".pt2",
}


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote."""

    files: tuple[Path, ...]
    """The model first, then what belongs to it: weights, the sidecar."""
    preprocess: Preprocess | None = None
    """What a picture goes through before the model; None where the files do not tell, or it takes no pictures."""
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Options:
    """How a net is converted."""

    fold: bool = False
    """BatchNorm and Scale go into the layers before them, and dropout goes."""
    half: Half | None = None
    """Weights, and what the model computes in."""
    input_stage: bool = False
    """ONNX and .py take RGB pictures of bytes, (n, h, w, 3)."""
    scores: bool = False
    """A Softmax stands where the net has a SoftmaxWithLoss."""
    told: Told = field(default_factory=Told)
    """What flags say of the preprocessing."""


def convert(
    net: str | Path | Source,
    weights: Files | None = None,
    *,
    to: Format,
    output: str | Path,
    fold: bool = False,
    half: Half | None = None,
    input_stage: bool = False,
    scores: bool = False,
    told: Told | None = None,
    shapes: Mapping[str, Shape] | None = None,
    misfits: Misfits = "refuse",
    dialect: str | None = None,
) -> Converted:
    """Write the test net of a prototxt, with weights, as `to`:

    `safetensors`, `pt`: the state_dict of `netc.load(...)`; `caffe`: a .prototxt and the .caffemodel beside it; `py`: a
    module in plain torch and its weights as safetensors beside it; `onnx`, any batch; `pt2`: torch.export, any batch.

    A .caffemodel in the place of the prototxt gives the net that stands in it, read as `dialect` where that is told.
    Losses are left out of models that run elsewhere; with `scores` a Softmax stands in the place of a SoftmaxWithLoss.
    A JSON file beside the model tells what a picture goes through
    before it, where the files say so. Raises NetcError, among them E801 for a layer that the format has no word for.
    """
    options = Options(fold, half, input_stage, scores, told or Told())
    held = described(net, dialect)
    weights = weights or held.weights
    opened = open_net(held.source, weights, shapes={**(held.shapes or {}), **(shapes or {})}, misfits=misfits)
    model = _passed(weighted(opened), to, options)
    found, warnings = _preprocess(model, held.source, options)
    warnings = (*held.notes, *_offered(opened.graph, to, options), *_unfilled(model, weights), *warnings)
    target = _target(Path(output), to)
    files = _WRITERS[to](model, opened, target, options, found)
    if found is not None:
        sidecar = target.with_suffix(".json")
        preprocessing.write_sidecar(sidecar, {"model": target.name, "net": model.graph.name, **found.plain()})
        files = (*files, sidecar)
    return Converted(files, found, warnings)


def _target(output: Path, to: Format) -> Path:
    """The file to write: `output` as it is given, but for what others must find by its ending."""
    if to == "caffe" and output.suffix == ".caffemodel":
        return output.with_suffix(SUFFIXES[to])
    if not output.suffix or (to in ("caffe", "py") and output.suffix != SUFFIXES[to]):
        return output.with_name(output.name + SUFFIXES[to])
    return output


def _unfilled(model: Weighted, weights: Files | None) -> tuple[Diagnostic, ...]:
    """A warning where layers have weights that no file gave."""
    files = listed(weights)
    if any(read_state(file) is not None for file in files):
        return ()  # a state_dict has all of them, or is an error
    given = {layer.name for file in files for layer in read(file).layers if layer.blobs}
    missing = [f"`{node.name}`" for node in model.graph.nodes if model.blobs(node) and node.name not in given]
    if not missing:
        return ()
    message = f"{len(missing)} layers have the weights that their fillers drew: no file gives them"
    return (Diagnostic("W802", message, notes=(", ".join(missing[:5]) + ", ..." * (len(missing) > 5),)),)


def _offered(graph: Graph, to: Format, options: Options) -> tuple[Diagnostic, ...]:
    """A Softmax, for a net whose losses are left out."""
    losses = [node.name for node in graph.nodes if isinstance(node.layer, SoftmaxWithLoss)]
    if options.scores or not losses or to not in ("py", "onnx", "pt2"):
        return ()
    message = f"the loss `{losses[-1]}` is left out: the model gives what it reads, not probabilities"
    return (Diagnostic("W804", message, help="`--scores` puts a Softmax in its place"),)


def _passed(model: Weighted, to: Format, options: Options) -> Weighted:
    graph = losses_to_scores(model.graph) if options.scores else model.graph
    model = Weighted(graph, model.arrays) if options.scores else model
    if to in ("py", "onnx", "pt2"):
        graph = drop_losses(graph)
    if options.fold:
        model = fold_batch_norm(Weighted(drop_identities(graph), model.arrays))
    elif to in ("py", "onnx", "pt2"):
        model = Weighted(drop_identities(graph), model.arrays)
    return model


def _preprocess(
    model: Weighted, net: str | Path | Source, options: Options
) -> tuple[Preprocess | None, tuple[Diagnostic, ...]]:
    """The preprocessing; what is wrong with it is only a warning where nobody asked for it."""
    try:
        return preprocessing.find(model.graph, net, options.told), ()
    except NetcError as error:
        if options.input_stage or options.told != Told():
            raise
        missing = tuple(d for d in error.diagnostics if d.code != "E802")
        return None, tuple(Diagnostic("W801", d.message, d.span, d.notes, d.help) for d in missing)


def _stage(found: Preprocess | None, options: Options) -> InputStage | None:
    if not options.input_stage or found is None:
        return None
    if found.order == "gray":
        raise NetcError("an input stage takes pictures of three colours, the net takes one", code="E802")
    return found.stage


def _tensors(model: Weighted, opened: Net, options: Options) -> dict[str, Tensor]:
    """The state_dict: the net's own tensors where no pass changed them."""
    net = opened if model.graph is opened.graph else net_of(model)
    kind = getattr(torch, DTYPES[options.half])
    return {name: tensor.detach().to(kind).contiguous() for name, tensor in net.state_dict().items()}


def _safetensors(
    model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None
) -> tuple[Path, ...]:
    from safetensors.torch import save_file

    state = _tensors(model, opened, options)
    seen: set[int] = set()
    for name, tensor in state.items():  # the format holds no tensor twice: what layers share is written for each
        if tensor.numel() and tensor.data_ptr() in seen:
            state[name] = tensor.clone()
        seen.add(tensor.data_ptr())
    with atomic_path(target) as path:
        save_file(state, path, metadata={"format": "pt"})
    return (target,)


def _state_dict(
    model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None
) -> tuple[Path, ...]:
    with atomic_write(target) as file:
        torch.save(_tensors(model, opened, options), file)
    return (target,)


def _caffe(model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None) -> tuple[Path, ...]:
    if options.half is not None:
        raise NetcError("BVLC Caffe holds weights in float32 only", code="E803", help="leave `--half` out")
    return write_caffe(model, target)


def write_caffe(model: Weighted, target: Path) -> tuple[Path, ...]:
    """Write a .prototxt, and beside it the .caffemodel. Raises NetcError E801 for what BVLC Caffe does not have."""
    from netc.exporters.caffe import net_message, net_text

    message = net_message(model.graph)
    layers = tuple(
        LayerBlobs(node.name, node.layer.type, tuple(Blob(np.asarray(blob)) for blob in model.blobs(node)))
        for node in model.graph.nodes
        if model.blobs(node)
    )
    trained = target.with_suffix(".caffemodel")
    write_caffemodel(trained, Weights(layers, model.graph.name), message.SerializeToString())
    with atomic_write(target) as file:
        file.write(net_text(model.graph).encode("utf-8", "surrogateescape"))
    return target, trained


def _python(model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None) -> tuple[Path, ...]:
    from safetensors.torch import save_file

    from netc.exporters.python import source_of

    trained = target.with_suffix(".safetensors")
    dtype = DTYPES[options.half]
    text, state = source_of(model.graph, model.arrays, trained.name, _stage(found, options), dtype)
    kind = getattr(torch, dtype)
    tensors = {name: torch.from_numpy(np.array(array)).to(kind) for name, array in state.items()}
    with atomic_path(trained) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    with atomic_write(target) as file:
        file.write(text.encode())
    return target, trained


def _onnx(model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None) -> tuple[Path, ...]:
    from netc.exporters.onnx import model_of

    if options.half == "bf16":
        raise NetcError("ONNX models are written in float32 or fp16", code="E803", help="use `--half fp16`")
    made = model_of(model.graph, model.arrays, _stage(found, options), DTYPES[options.half])
    with atomic_write(target) as file:
        file.write(made.SerializeToString())
    return (target,)


class _Positional(nn.Module):
    """The net with its inputs by place: torch.export keeps names of arguments, which a blob's may not be."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Output blobs by name."""
        found: dict[str, Tensor] = self.net(*inputs)
        return found


def _pt2(model: Weighted, opened: Net, target: Path, options: Options, found: Preprocess | None) -> tuple[Path, ...]:
    from netc.exporters.errors import known_shape

    kind = getattr(torch, DTYPES[options.half])
    net = _Positional(net_of(_plain_keys(model))).to(kind).eval()
    examples = [
        torch.zeros((2, *known_shape(model.graph, name, free=1)[1:]), dtype=kind) for name in model.graph.inputs
    ]
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(
            net, tuple(examples), dynamic_shapes={"inputs": tuple({0: batch} for _ in examples)}
        )
    with atomic_path(target) as path:
        _save(program, path)
    return (target,)


def _plain_keys(model: Weighted) -> Weighted:
    """The model with module names of letters, digits and underscores: torch cannot read others back from a .pt2."""
    names = Identifiers(dir(nn.Module()))
    keys = {node.key: names.make(node.name) for node in model.graph.nodes}
    nodes = tuple(replace(node, key=keys[node.key]) for node in model.graph.nodes)
    return Weighted(model.graph.replace(nodes=nodes), {keys[key]: blobs for key, blobs in model.arrays.items()})


def _save(program: torch.export.ExportedProgram, path: Path) -> None:
    """Torch looks at the name's end, which a temporary file does not have."""
    with open(path, "wb") as file:
        torch.export.save(program, file)


_Writer = Callable[[Weighted, Net, Path, Options, "Preprocess | None"], "tuple[Path, ...]"]
_WRITERS: dict[Format, _Writer] = {
    "safetensors": _safetensors,
    "pt": _state_dict,
    "caffe": _caffe,
    "py": _python,
    "onnx": _onnx,
    "pt2": _pt2,
}
