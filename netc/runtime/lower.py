"""Graph -> Net: one torch module per node, and straight-line code that calls them (straight_line.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from netc.diagnostics import NetcError, Report, counted, did_you_mean
from netc.ir.dims import differ, text
from netc.ir.verify import verify
from netc.runtime.blobs import LayerBlob, blobs_of, write_array
from netc.runtime.dtypes import array_from, fed_tensor, name_of
from netc.runtime.fillers import fill
from netc.runtime.input_check import check_fit
from netc.runtime.memory_check import check_weights_memory
from netc.runtime.modules import LayerModule, module_for, register_constant
from netc.runtime.straight_line import Program, compile_program
from netc.runtime.strings import given_strings
from netc.runtime.unknown_extents import UnknownWeightsError, weights_are_unknown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from netc.ir.dtypes import DType
    from netc.ir.graph import Graph, Node
    from netc.ir.layer import Weights

Version = Literal["first", "last"]
"""A version of a blob that in-place layers rewrite."""
_Ends = tuple[tuple[str, ...], tuple[str, ...]]
"""Feeds and fetches of a program, names of values."""
KEPT_SHAPES = 1000
"""Number of input shapes that a net remembers as valid."""


class Net(nn.Module):
    """A net as a torch module; its children have the names of the layers.

    `net(x)` or `net(data=x, label=y)` returns {output blob: tensor}. Inputs are tensors in Caffe's layout (n, c, h, w);
    only the weights' shapes are fixed, so that batch and image sizes may change from call to call.
    """

    def __init__(self, graph: Graph, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.graph = graph
        self.report = Report()
        """Warnings about the files that the net was loaded from."""
        for node in graph.nodes:  # not add_module, which rejects names that torch reserves
            self._modules[node.key] = modules[node.key]
        self._original_modules = dict(self._modules)
        self._valid_shapes: set[tuple[object, ...]] = set()
        """Names and shapes for which the layers were checked."""
        self._programs: dict[_Ends, Program] = {}
        self._replaced: dict[_Ends, Program] = {}
        """Programs that run in place of generated ones."""
        self._main = self.program(graph.inputs, graph.outputs)
        self._output_blobs = tuple(graph.values[name].blob for name in graph.outputs)

    def forward(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        """Output blobs by name.

        Raises NetcError E302 for a missing, unknown or repeated input, E102 for a shape that a layer does not accept.
        """
        names = self.graph.inputs
        if kwargs or len(args) != len(names):
            args = self._arguments(args, kwargs)
        return dict(zip(self._output_blobs, self._run_program(self._main, names, self.graph.outputs, args)))

    def evaluate(
        self, inputs: Mapping[str, Tensor], outputs: Iterable[str] | None = None, *, version: Version = "first"
    ) -> dict[str, Tensor]:
        """The blobs named in `outputs` (default: the net's outputs), running only the layers that they need.

        `inputs` may feed any blobs, inner ones too. A blob that in-place layers rewrite has several versions: its
        `"first"` version is fed by default, which these layers then rewrite (`conv1` before its ReLU), with
        `version="last"` the final one, which its other readers use (`conv1` after its ReLU). `outputs` are last
        versions. Raises NetcError E302 for names the net does not have and for required inputs that are missing, and
        E102 as a call does.
        """
        names = self.outputs if outputs is None else tuple(outputs)
        feeds = tuple(self._value(name, version) for name in inputs)
        fetches = tuple(self._value(name) for name in names)
        return dict(zip(names, self._run_program(self.program(feeds, fetches), feeds, fetches, tuple(inputs.values()))))

    def compute(self, given: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
        """Values of the graph, by their names, from others that are given: `evaluate` for any version of a blob.

        Raises NetcError E302 and E102 as `evaluate` does.
        """
        feeds, fetches = tuple(given), tuple(wanted)
        results = self._run_program(self.program(feeds, fetches), feeds, fetches, tuple(given.values()))
        return dict(zip(fetches, results))

    def run(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike | None = None,
        outputs: Iterable[str] | None = None,
        *,
        version: Version = "first",
        **arrays: ArrayLike,
    ) -> dict[str, NDArray[Any]]:
        """`evaluate` on NumPy arrays: in, and out, on the net's device, without gradients.

        `inputs` may be the array of the net's first input alone. Arrays take the types of their blobs; integer labels
        and ids stay integers (see `runtime.dtypes.fed_tensor`). Real numbers are returned as float32, others in their
        own type; strings that the file gives, which tensors do not hold, as an array of bytes. Raises NetcError E302,
        E102 as `evaluate` does, and E302 for a value that its blob cannot hold.
        """
        blobs = inputs if isinstance(inputs, Mapping) else {} if inputs is None else {self.inputs[0]: inputs}
        given = {**blobs, **arrays}
        place = self._place()
        tensors = {name: self._tensor(name, version, array, *place) for name, array in given.items()}
        names = self.outputs if outputs is None else tuple(outputs)
        strings = given_strings(self.graph, (self._value(name) for name in names))
        with torch.no_grad():
            results = self.evaluate(tensors, [name for name in names if name not in strings], version=version)
        return {name: strings[name] if name in strings else array_from(results[name]) for name in names}

    def gradients(
        self,
        inputs: Mapping[str, ArrayLike],
        upstream: Mapping[str, ArrayLike],
        wrt: Iterable[str],
        *,
        version: Version = "first",
    ) -> dict[str, NDArray[Any]]:
        """The gradients of the sum of `upstream` times the blobs that it names, with respect to the blobs in `wrt`.

        Arrays in and out, by blob name, in the shapes of the blobs. `inputs` are fed as `run` feeds them; a blob in
        `wrt` that is not fed is one that the net computes or holds, in its last version. A blob that `upstream` does
        not depend on has a gradient of zeros. Raises NetcError E302 as `run` does, for an upstream array of another
        shape than its blob, and for a blob in `wrt` that is not of floating-point numbers.
        """
        from netc.runtime.input_gradients import gradients

        place = self._place()
        tensors = {name: self._tensor(name, version, array, *place) for name, array in inputs.items()}
        return gradients(partial(self.evaluate, version=version), tensors, upstream, tuple(wrt))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input blobs."""
        return tuple(self.graph.values[name].blob for name in self.graph.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the blobs that nothing reads, sorted."""
        return self._output_blobs

    @property
    def blobs(self) -> list[LayerBlob]:
        """The layers' weights in Caffe's order."""
        return blobs_of(self.graph, {node.key: self.module(node.key) for node in self.graph.nodes})

    def module(self, key: str) -> nn.Module:
        """The module of a node."""
        return cast("nn.Module", self._modules[key])

    def program(self, feeds: Sequence[str], fetches: Sequence[str]) -> Program:
        """A cached function `(net, *tensors of feeds) -> tensors of fetches`, over names of values.

        Raises NetcError E302 for a required input that is not among `feeds`.
        """
        key = (tuple(feeds), tuple(fetches))
        if key in self._replaced:
            return self._replaced[key]
        if key not in self._programs:
            self._programs[key] = compile_program(self.graph, *key)
        return self._programs[key]

    def replace_program(self, feeds: Sequence[str], fetches: Sequence[str], program: Program) -> None:
        """Run `program`, whose results must be the same, for these feeds and fetches."""
        self._replaced[tuple(feeds), tuple(fetches)] = program
        self._main = self.program(self.graph.inputs, self.graph.outputs)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle, copy and torch.save keep: all but the generated programs."""
        return {**super().__getstate__(), "_programs": {}, "_main": None}  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Generate the main program again."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._main = self.program(self.graph.inputs, self.graph.outputs)

    def faults(self) -> list[NetcError]:
        """Errors that range checks on the device found since the last call; waits for the device."""
        found = (module.fault() for module in self.modules() if isinstance(module, LayerModule))
        return [error for error in found if error]

    def _run_program(
        self, program: Program, feeds: tuple[str, ...], fetches: tuple[str, ...], tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Run a program; new shapes are checked first, unless modules were replaced."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return program(self, *tensors)
        shapes = tuple(tensor.shape for tensor in tensors)
        key = (feeds, fetches, shapes, tuple(tensor.dtype for tensor in tensors))
        own = key in self._valid_shapes or self._modules == self._original_modules
        if own and key not in self._valid_shapes:
            reals = self._place()[1]  # what the files call float32
            types: dict[str, DType] = {
                name: "float32" if t.dtype == reals else name_of(t.dtype) for name, t in zip(feeds, tensors)
            }
            check_fit(self.graph, dict(zip(feeds, map(tuple, shapes))), fetches, types=types)
            self._valid_shapes = {key, *(self._valid_shapes if len(self._valid_shapes) < KEPT_SHAPES else ())}
        try:
            return program(self, *tensors)
        except NetcError:
            raise
        except RuntimeError:
            if own:
                check_fit(self.graph, dict(zip(feeds, map(tuple, shapes))), fetches, weights=True)
            raise

    def _arguments(self, args: Sequence[Tensor], kwargs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, args))
        if len(args) > len(self.inputs):
            raise NetcError(
                f"expected {counted(len(self.inputs), 'input')} ({_listed(self.inputs)}), got {len(args)}",
                code="E302",
                help=self._help_for_constants,
            )
        for name, tensor in kwargs.items():
            if name in given or name not in self.inputs:
                problem = "repeated" if name in given else "unknown"
                raise NetcError(
                    f"{problem} input `{name}`: the inputs are {_listed(self.inputs)}",
                    code="E302",
                    help=self._help_for_constants,
                )
            given[name] = tensor
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise NetcError(
                f"input {_listed(missing)} is missing",
                code="E302",
                help="`evaluate(inputs, outputs)` runs only what the outputs need",
            )
        return tuple(given[name] for name in self.inputs)

    @property
    def _help_for_constants(self) -> str | None:
        if all(node.bottoms for node in self.graph.nodes):
            return None
        return "`evaluate` feeds any blob; `netc.load` makes constant data an input if `shapes` has its blob"

    def _value(self, blob: str, version: Version = "last") -> str:
        """The value of a blob. Raises NetcError E302 for a name the net does not have, and for an unknown version."""
        versions = [value.name for value in self.graph.values.values() if value.blob == blob]
        if not versions:
            raise NetcError(f"the net has no blob `{blob}`", code="E302", help=did_you_mean(blob, self.graph.blobs))
        if version not in get_args(Version):
            raise NetcError(f"unknown version `{version}`: expected `first` or `last`", code="E302")
        return versions[0 if version == "first" else -1]

    def _tensor(
        self, blob: str, version: Version, array: ArrayLike, device: torch.device, reals: torch.dtype
    ) -> Tensor:
        """The tensor that is fed to a version of a blob for an array."""
        name = self._value(blob, version)
        return fed_tensor(blob, array, self.graph.values[name].dtype, self.graph.is_index(name), device, reals)

    def _place(self) -> tuple[torch.device, torch.dtype]:
        first = next((t for t in (*self.parameters(), *self.buffers()) if t.is_floating_point()), torch.empty(0))
        return first.device, first.dtype


def lower(
    graph: Graph,
    generator: torch.Generator | None = None,
    share: Net | None = None,
    unfilled: Collection[str] = (),
) -> Net:
    """The net of a graph whose data layers were turned into inputs, with its weights filled.

    Parameters with an array take its values; `generator` draws the others (on the CPU, so that a seed has the same
    result everywhere). With `share`, layers of the same name use that net's weights, as Caffe's test nets use the train
    net's. Layers named in `unfilled` are left without values, which the caller writes: drawing them takes longer than
    reading a file. Raises NetcError E203 if the shape of a weight depends on an unknown extent, E204 if shared weights
    differ in shape, E104 for more weights than fit into memory.
    """
    verify(graph)
    if share is None:
        check_weights_memory(graph)
    modules: dict[str, nn.Module] = {}
    fresh: dict[str, bool] = {}
    for node in graph.nodes:
        found = _shared(graph, node, share)
        empty = node.name in unfilled or bool(graph.arrays(node))
        modules[node.key] = found or (_empty(graph, node) if empty else new_module(graph, node))
        if found is None:
            fresh[node.key] = not empty
    _fill(blobs_of(graph, modules), fresh, generator)
    for node in graph.nodes:
        for constant in node.layer.constants(len(node.bottoms)):
            if constant.values:
                register_constant(modules[node.key], constant.name, torch.tensor(constant.values))
    return Net(graph.without_arrays(), modules).train(graph.state.phase == "TRAIN")


def _empty(graph: Graph, node: Node) -> nn.Module:
    """A node's module with uninitialized weights, if it has no other tensors."""
    with torch.device("meta"):
        module = new_module(graph, node)
    held = dict((*module.named_parameters(), *module.named_buffers()))
    if set(held) != {weight.name for weight in graph.weights(node)}:
        return new_module(graph, node)
    for name, tensor in held.items():  # not `to_empty`, whose first call takes half a second
        memory = torch.empty(tensor.shape, dtype=tensor.dtype)
        setattr(module, name, nn.Parameter(memory) if isinstance(tensor, nn.Parameter) else memory)
    return module


def new_module(graph: Graph, node: Node) -> nn.Module:
    """A node's module, its weights not yet filled. Raises NetcError E203 if their shapes are unknown.

    A layer that overwrites its bottom (ReLU) has the same module for all shapes.
    """
    weights = graph.weights(node)
    if weights_are_unknown(graph, node):
        raise UnknownWeightsError(graph, node)
    unknown = any(graph.shape(name) is None for name in node.bottoms)
    if (unknown and not node.layer.overwrites) or _reshapes(graph, node):
        return LayerModule.of_node(node, weights)
    return module_for(node, () if unknown else graph.shapes(node.bottoms), weights)


def _reshapes(graph: Graph, node: Node) -> bool:
    """Whether a weight is shared with a layer that has it in another shape (`share_mode: PERMISSIVE`)."""
    pairs = zip(graph.weights(node), graph.parameters_of(node))
    return any(weight.shape != parameter.shape for weight, parameter in pairs)


def _shared(graph: Graph, node: Node, share: Net | None) -> nn.Module | None:
    """The other net's module of this layer, or a new one with its weights if the parameters differ."""
    twin = share.graph.by_key.get(node.key) if share else None
    weights = graph.weights(node)
    if share is None or twin is None or not weights:
        return None
    theirs = share.graph.weights(twin)
    if not _can_share(theirs, weights):
        raise NetcError(
            f"layer `{node.name}` has different weights in the test net and the train net",
            code="E204",
            span=node.span,
            notes=[
                f"{phase}: {', '.join(text(w.shape) for w in ws)}"
                for phase, ws in (("train", theirs), ("test", weights))
            ],
        )
    holder = share.module(node.key)
    if twin.layer == node.layer and len(twin.tops) == len(node.tops):
        return holder
    return LayerModule.of_node(node, weights, holder)


def _can_share(theirs: Weights, weights: Weights) -> bool:
    """Whether two layers can share their blobs: equal names, and shapes that are not known to differ."""
    names, shapes = ([[getattr(w, field) for w in ws] for ws in (theirs, weights)] for field in ("name", "shape"))
    return names[0] == names[1] and not any(map(differ, *shapes))


def _fill(blobs: list[LayerBlob], fresh: Mapping[str, bool], generator: torch.Generator | None) -> None:
    """Share the owners' tensors with other blobs of `fresh` nodes; fill owners, in order, if `fresh` says so."""
    by_index = {(blob.key, blob.index): blob for blob in blobs}
    for blob in blobs:
        if blob.key not in fresh:
            continue
        if blob.is_owner:
            if blob.parameter.array is not None:
                write_array(blob, blob.parameter)
            elif fresh[blob.key]:
                fill(blob.tensor, blob.weight.filler, blob.weight.shape, generator)
            continue
        tensor = by_index[blob.owner].tensor
        if isinstance(blob.module, LayerModule) and tensor.shape != blob.tensor.shape:
            blob.module.views[blob.weight.name] = tuple(blob.tensor.shape)
        setattr(blob.module, blob.weight.name, tensor)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "(none)"
