"""`convert`: writes a net with its weights for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.compiler import StateChoice, state_choice, weighted
from netc.conversion.deploy import with_scores
from netc.conversion.embedded_net import net_source
from netc.conversion.formats import FORMATS, Format
from netc.conversion.models import Files, Misfits, WeightFiles, open_net, weight_files
from netc.conversion.preprocess import Preprocess, PreprocessOptions, find_preprocess, write_sidecar
from netc.conversion.writers import ExportOptions, Half
from netc.diagnostics import Diagnostic, NetcError, Source, counted
from netc.passes.drop_identities import drop_identities
from netc.passes.drop_losses import drop_losses
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.operators_to_layers import operators_to_layers
from netc.weights import check_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netc.ir.dims import Shape
    from netc.ir.graph import Graph


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote."""

    files: tuple[Path, ...]
    """The model first, then its weights and sidecar."""
    preprocess: Preprocess | None = None
    """The preprocessing of images; None where the files do not define it, or the model has no input of images."""
    warnings: tuple[Diagnostic, ...] = ()


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
    preprocessing: PreprocessOptions | None = None,
    shapes: Mapping[str, Shape] | None = None,
    misfits: Misfits = "refuse",
    dialect: str | None = None,
    scope: str = "",
    dynamic: Sequence[str] = ("n",),
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
) -> Converted:
    """Write the net of a prototxt in a state (by default the test net), with weights, as `to`:

    `safetensors`, `pt`: the state_dict of `netc.load(...)`; `caffe`: a .prototxt and the .caffemodel next to it;
    `caffe2`: a predict net, and the init net next to it; `py`: a plain torch module, its weights as safetensors next to
    it; `onnx`, any batch; `pt2`: torch.export, any batch.

    A .caffemodel in place of the prototxt is read as the net in it, in `dialect` if that is given. `scope` is a
    prefix that is removed from the names of a Caffe2 net's blobs (`gpu_0/`). `dynamic` are the
    axes of inputs that .py, ONNX and .pt2 models accept in any size where the net allows it: `n` (the first), and on
    request `h` and `w` of images. Losses are left out of models that run elsewhere; with `scores` a Softmax replaces
    a SoftmaxWithLoss, and what only labels need is left out. A JSON file next to the model describes the
    preprocessing where the files define it. `autocrop` computes the offsets of Crop layers as in `load`.

    Raises NetcError, among them E801 for a layer that the format cannot express, and E802 for a height or width that
    cannot be dynamic.
    """
    options = ExportOptions(
        fold, half, input_stage, scores, preprocessing or PreprocessOptions(), tuple(dynamic), dialect
    )
    state = state_choice(phase, level, stages, autocrop)
    described = net_source(net, dialect, state, scope)
    read_files = weight_files(described, weights)
    fed = {**(described.shapes or {}), **(shapes or {})}
    opened = open_net(described.source, read_files, shapes=fed, misfits=misfits, state=state, scope=scope)
    model = _passed(weighted(opened), to, options)
    found, warnings = _preprocess(model, described.source, options, state)
    changes = (*_offered(opened.graph, model, options), *_left_out(opened.graph, model))
    warnings = (*described.notes, *changes, *_unfilled(model, read_files), *warnings)
    target = _target(check_output(output), to)
    files = FORMATS[to].writer()(model, opened, target, options, found)
    if found is not None:
        sidecar = target.with_suffix(".json")
        write_sidecar(sidecar, {"model": target.name, "net": model.name, **found.plain()})
        files = (*files, sidecar)
    return Converted(files, found, warnings)


def _target(output: Path, to: Format) -> Path:
    """The file to write: `output` as it is given, but for what others must find by its ending."""
    if to == "caffe" and output.suffix == ".caffemodel":
        return output.with_suffix(FORMATS[to].suffix)
    if not output.suffix or (to in ("caffe", "py") and output.suffix != FORMATS[to].suffix):
        return output.with_name(output.name + FORMATS[to].suffix)
    return output


def _unfilled(model: Graph, files: WeightFiles) -> tuple[Diagnostic, ...]:
    """A warning where layers have weights that no file has."""
    missing = [f"`{node.name}`" for node in model.nodes if model.arrays(node) and not files.fills(node.name)]
    if not missing:
        return ()
    message = f"no file has the weights of {counted(len(missing), 'layer')}: the initial values are kept"
    return (Diagnostic("W802", message, notes=(", ".join(missing[:5]) + ", ..." * (len(missing) > 5),)),)


def _offered(graph: Graph, model: Graph, options: ExportOptions) -> tuple[Diagnostic, ...]:
    """A Softmax, for a net whose losses are left out of the model."""
    kept = {node.key for node in model.nodes}
    losses = [n for n in graph.nodes if n.layer.score_layer() is not None and n.key not in kept]
    if options.scores or not losses:
        return ()
    message = f"the loss `{losses[-1].name}` is left out: the model returns its bottom, not probabilities"
    score = losses[-1].layer.score_layer()
    return (Diagnostic("W804", message, help=f"`--scores` replaces it with a {score.type if score else ''}"),)


def _left_out(graph: Graph, model: Graph) -> tuple[Diagnostic, ...]:
    """A warning for each layer that has no top and an effect of its own, such as writing a file."""
    kept = {node.key for node in model.nodes}
    nodes = [node for node in graph.nodes if not node.tops and node.layer.role != "sink" and node.key not in kept]
    message = "the layer `{}` has no top: it is left out of the model"
    return tuple(Diagnostic("W805", message.format(node.name), node.span) for node in nodes)


def _passed(graph: Graph, to: Format, options: ExportOptions) -> Graph:
    graph = operators_to_layers(graph)
    portable = to in ("py", "onnx", "pt2", "caffe2")
    graph = with_scores(graph) if options.scores else graph
    graph = drop_losses(graph) if portable else graph
    graph = drop_identities(graph) if portable or options.fold else graph
    return fold_batch_norm(graph) if options.fold else graph


def _preprocess(
    model: Graph, net: str | Path | Source, options: ExportOptions, state: StateChoice
) -> tuple[Preprocess | None, tuple[Diagnostic, ...]]:
    """The preprocessing; a fault is only a warning unless an option asks for it."""
    try:
        return find_preprocess(model, net, options.preprocessing, state), ()
    except NetcError as error:
        if options.input_stage or options.preprocessing != PreprocessOptions():
            raise
        missing = tuple(d for d in error.diagnostics if d.code != "E802")
        return None, tuple(Diagnostic("W801", d.message, d.span, d.notes, d.help) for d in missing)
