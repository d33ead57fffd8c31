"""A NetDef as a definition of a net."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from netc.frontends.caffe2.build import build
from netc.frontends.caffe2.training_net import TrainingNet, split
from netc.frontends.definition import NetDefinition, OwnGradients
from netc.ir.graph import State
from netc.ir.quantization import Quantization
from netc.layers import operator_class
from netc.weights.blobs import StateDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from netc.diagnostics import Source, Span
    from netc.frontends.caffe2.origin import OperatorOrigin
    from netc.frontends.caffe2.reading import NetContent
    from netc.frontends.graph_report import GraphReport
    from netc.ir.dims import Shape
    from netc.ir.dtypes import DType
    from netc.ir.fields import Fields
    from netc.ir.graph import Graph, Phase
    from netc.ir.origin import Origin
    from netc.weights.blobs import Weights


class Caffe2Net(NetDefinition):
    """A NetDef: the same operators in every phase."""

    fills_weights = True

    def __init__(
        self,
        content: NetContent,
        source: Source,
        weights_file: Path | None = None,
        init_net: NetDefinition | None = None,
    ) -> None:
        self.content, self.source, self.report = content, source, content.report
        self.weights_file, self.init_net = weights_file, init_net
        self.stored: dict[str, tuple[Shape, DType]] = {}
        """The blobs that the init net fills."""
        self.quantized: dict[str, Quantization] = {}
        """How those stand for real numbers that are quantized."""

    def without_scope(self, scope: str) -> Caffe2Net:
        """Return the net without a prefix of the names of its blobs; weights files may still have it.

        Nets for several devices have the blobs of each in a scope of its own, such as `gpu_0/`.
        """
        if not scope:
            return self
        found = Caffe2Net(self.content.without_scope(scope), self.source, self.weights_file, self.init_net)
        found.has_syntax_errors, found.scope = self.has_syntax_errors, scope
        return found

    @property
    def span(self) -> Span | None:
        """The whole text; None for a binary file."""
        return self.content.tree.root.span if self.content.tree else None

    @cached_property
    def layers(self) -> tuple[OperatorOrigin, ...]:  # type: ignore[override]
        """The operators in file order."""
        return tuple(self.content.operators)

    def describe_weights(self, files: Sequence[Weights | StateDict]) -> None:
        """Take the shapes and types of the blobs that an init net fills, without placeholders of inputs."""
        for file in files:
            if not isinstance(file, StateDict):
                found = ((layer.name, layer.quantization) for layer in file.layers)
                self.quantized.update((name, Quantization(*pair)) for name, pair in found if pair)
            blobs = ((n, "", a) for n, a in file.tensors.items()) if isinstance(file, StateDict) else _only_blobs(file)
            for name, maker, array in blobs:
                if not self._is_placeholder(name, maker, array):
                    self.stored[name] = array.shape, cast("DType", array.dtype.name)

    def _is_placeholder(self, name: str, maker: str, array: NDArray[Any]) -> bool:
        """Whether a blob of the init net, made by an operator of type `maker`, only creates an input.

        Exporters write such a blob with a single 0 (`caffe_translator`: ConstantFill of shape [1]; `mobile_exporter`:
        GivenTensorFill of shape [1,1]), and the caller overwrites it. The net never writes it, and reads it as the
        first input of an operator; one of a ConstantFill also as the second, which weights of a single 0 never are, or
        as any of an operator that takes any number (Sum).
        """
        if array.size > 1 or array.any() or any(name in origin.tops for origin in self.layers):
            return False
        reader = next((origin for origin in self.layers if name in origin.bottoms), None)
        if reader is None or maker != "ConstantFill":
            return reader is not None and reader.bottoms[0] == name
        cls = operator_class(reader.type)
        return name in reader.bottoms[:2] or (cls is not None and cls.bottom_count.high is None)

    @property
    def inputs(self) -> frozenset[str]:
        """The external inputs, and blobs that an operator reads before one writes them."""
        found, written = set(self.content.inputs), set[str]()
        for origin in self.layers:
            found.update(name for name in origin.bottoms if name not in written)
            written.update(origin.tops)
        return frozenset(found)

    def state(self, phase: Phase, *changes: Fields) -> State:
        """The state of a phase; a NetDef has no states of its own."""
        return State(phase)

    def states(self, base: State) -> Iterator[State]:
        """Yield the only state."""
        yield base

    def included(self, layer: Origin, state: State) -> bool:
        """Whether an operator belongs to the net: always."""
        return True

    def graph(self, state: State) -> tuple[Graph, GraphReport]:
        """Build the graph, without shapes; that of a training net without its gradient operators."""
        graph, report = build(self._training.content, state, self.stored, self.quantized)
        report.extend(self._training.diagnostics())
        return graph, report

    @property
    def own_gradients(self) -> OwnGradients | None:
        """Those of the gradient operators."""
        return self._training.gradients

    @cached_property
    def _training(self) -> TrainingNet:
        """The net without its gradient operators, if it has any."""
        return split(self.content)

    def mentions(self, kind: str) -> Iterator[tuple[str, Span | None]]:
        """Yield nothing: a NetDef has no rules."""
        return iter(())


def _only_blobs(file: Weights) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """The blobs of layers that have exactly one, after the name and type of the layer."""
    for layer in file.layers:
        if len(layer.blobs) == 1 and layer.blobs[0] is not None:
            yield layer.name, layer.type, layer.blobs[0].data
