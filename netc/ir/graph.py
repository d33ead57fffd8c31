"""Value, Node, Graph: a net for one phase in which every tensor is assigned once.

    Graph
      .inputs    values from outside the net (tops of data layers that a pass removed)
      .nodes     in the order of the file, which is the order of execution
      .values    every tensor by name, with its blob, shape and dtype
      .parameters  every learned or accumulated blob by name; two nodes that refer to the same name share it
      .outputs   values of blobs that no layer reads, in Caffe's order (by name)

An in-place layer creates a new version of its blob: `conv1`, then `conv1.1`. The blob's name refers to
the last version. All of these are immutable: a pass returns a new Graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from netc.diagnostics import Span
from netc.ir.dims import Shape, text
from netc.ir.dtypes import DType, suffix
from netc.ir.layer import Layer, Shapes, Weight
from netc.ir.names import UniqueNames
from netc.ir.origin import NO_FILE, Origin
from netc.ir.parameters import Parameter, ParamSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Phase = Literal["TRAIN", "TEST"]

AUTOMATIC = "(automatic)"
"""Caffe's name of a loss top without a name in the file (`net.cpp`, AppendTop); each one is a separate blob."""


@dataclass(frozen=True)
class State:
    """Caffe's NetState, which selects a net of a file, and how the offsets of its Crop layers are determined."""

    phase: Phase = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()
    autocrop: bool = field(default=False, repr=False)
    """Whether the offsets of Crop layers without parameters are computed from the graph, see `coordinates.py`."""


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor, assigned once."""

    name: str
    """Unique in the graph."""
    blob: str
    """Caffe's name of its memory; versions of one blob share it."""
    shape: Shape | None = None
    """None until inferred, or if the number of axes is unknown."""
    dtype: DType = "float32"
    """Element type; floating-point values may be computed in another precision (`net.double()`)."""
    origin: Origin = field(default=NO_FILE, repr=False, compare=False)
    """The origin of an input: the data layer whose top it was."""


@dataclass(frozen=True)
class Node:
    """A named use of a layer."""

    name: str
    """The layer's name in the file: not necessarily unique, never used as code."""
    key: str
    """Unique in the graph and valid as the name of a torch submodule; see `ModuleKeys`."""
    layer: Layer
    bottoms: tuple[str, ...]
    """Names of values."""
    tops: tuple[str, ...]
    param_specs: tuple[ParamSpec, ...] = ()
    """As in the file; further blobs have the defaults. Use `param_spec(i)`."""
    parameters: tuple[str, ...] = ()
    """Names of the graph's parameters that are the layer's blobs, in .caffemodel order; none until inferred."""
    loss_weights: tuple[float, ...] = ()
    """One per top; all 0 if the layer does not contribute to the loss."""
    propagate_down: tuple[bool, ...] = ()
    """For each bottom, whether it gets a gradient according to the file; empty if the file does not set it."""
    described: Layer | None = field(default=None, repr=False, compare=False)
    """The layer as described by its file; passes that change `layer` do not change it."""
    origin: Origin = field(default=NO_FILE, repr=False, compare=False)
    """The position of the node in a file, and the file's entry for it."""

    @property
    def span(self) -> Span | None:
        """The span of the layer's type, else of the layer."""
        return self.origin.place

    def note(self, bottoms: str = "") -> str:
        """The note of a diagnostic that names the node and its formatted bottoms."""
        if self.origin is not NO_FILE:
            return self.origin.note(bottoms)
        return f"in layer `{self.name}`" + (f", bottoms: {bottoms}" if bottoms else "")

    def param_spec(self, index: int) -> ParamSpec:
        """The file's settings for the index-th blob."""
        return self.param_specs[index] if index < len(self.param_specs) else ParamSpec()


@dataclass(frozen=True)
class Graph:
    """A net for one phase."""

    name: str
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    inputs: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """By name, in the order in which nodes first refer to them; empty until inferred."""
    state: State = field(default_factory=State)
    force_backward: bool = False
    debug_info: bool = False
    declared_outputs: tuple[str, ...] = ()
    """The values that the file declares as outputs (Caffe2's `external_output`); empty if it declares none."""

    @cached_property
    def blobs(self) -> dict[str, str]:
        """The last version of each blob, in the order blobs first appear."""
        return {value.blob: value.name for value in self.values.values()}

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order."""
        readers: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for bottom in dict.fromkeys(node.bottoms):
                readers[bottom].append(node)
        return readers

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The declared outputs, else the values that no layer reads, sorted by blob name as in Caffe (`net.cpp`,
        available_blobs).

        Tops without a name in the file are not outputs in Caffe.
        """
        if self.declared_outputs:
            return self.declared_outputs
        unread = [v for v in self.values.values() if not self.readers[v.name] and v.blob != AUTOMATIC]
        return tuple(value.name for value in sorted(unread, key=lambda v: v.blob))

    @cached_property
    def by_key(self) -> dict[str, Node]:
        """Nodes by their unique key."""
        return {node.key: node for node in self.nodes}

    @cached_property
    def losses(self) -> tuple[tuple[str, float], ...]:
        """Every value that contributes to the loss, with its weight."""
        return tuple(
            (top, weight) for node in self.nodes for top, weight in zip(node.tops, node.loss_weights) if weight
        )

    def is_index(self, name: str) -> bool:
        """Whether a value is read, and every reader uses it only as indices (labels, ids). See `Traits.indices`."""
        readers = (node for node in self.readers[name] if node.layer.role != "sink")
        uses = [(node, i) for node in readers for i, bottom in enumerate(node.bottoms) if bottom == name]
        return bool(uses) and all(i in node.layer.indices for node, i in uses)

    def shape(self, name: str) -> Shape | None:
        """The shape of a value."""
        return self.values[name].shape

    def shapes(self, names: Iterable[str]) -> Shapes:
        """The shapes of values. Raises ValueError if they are not inferred."""
        shapes = tuple(self.values[name].shape for name in names)
        if None in shapes:
            raise ValueError(f"shapes are not inferred: {', '.join(names)}")
        return shapes  # type: ignore[return-value]

    def weights(self, node: Node) -> tuple[Weight, ...]:
        """A node's blobs as its layer declares them, in .caffemodel order; none if a bottom has unknown axes, and none
        if the layer does not accept the number of bottoms.

        A blob that is shared with `share_mode: PERMISSIVE` may have another shape than its parameter.
        """
        if any(self.values[name].shape is None for name in node.bottoms):
            return ()
        if len(node.bottoms) not in node.layer.bottom_count:
            return ()
        return node.layer.weights(self.shapes(node.bottoms))

    def parameters_of(self, node: Node) -> tuple[Parameter, ...]:
        """The parameters of a node, in .caffemodel order."""
        return tuple(self.parameters[name] for name in node.parameters)

    def arrays(self, node: Node) -> tuple[NDArray[Any], ...]:
        """The values of a node's blobs, each in the layer's shape; empty if one has no array."""
        held = [entry.array for entry in self.parameters_of(node)]
        if any(array is None for array in held):
            return ()
        pairs = zip(held, self.weights(node))
        return tuple(_shaped(a, w.shape) for a, w in pairs if a is not None)

    def with_arrays(self, arrays: Mapping[str, Sequence[NDArray[Any]]]) -> Graph:
        """The graph with arrays for nodes' blobs, by key in .caffemodel order; a shared blob gets the last one."""
        entries = dict(self.parameters)
        for node in self.nodes:
            for name, array in zip(node.parameters, arrays.get(node.key, ())):
                entries[name] = replace(entries[name], array=_shaped(array, entries[name].shape))
        return self.replace(parameters=entries)

    def without_arrays(self) -> Graph:
        """The graph without arrays: its parameters have only fillers."""
        entries = {name: replace(entry, array=None) for name, entry in self.parameters.items()}
        return self.replace(parameters=entries)

    def owners(self) -> dict[tuple[str, int], tuple[str, int]]:
        """For each blob (node key, index), the first blob that is the same parameter, which may be itself."""
        first: dict[str, tuple[str, int]] = {}
        return {
            (node.key, index): first.setdefault(name, (node.key, index))
            for node in self.nodes
            for index, name in enumerate(node.parameters)
        }

    def replace(self, **changes: object) -> Graph:
        """Return a copy with the given attributes replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def __deepcopy__(self, memo: object) -> Graph:
        """Return the graph itself, which is immutable."""
        return self

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        def show(names: Iterable[str]) -> str:
            values = map(self.values.__getitem__, names)
            return ", ".join(f"{value.name}{text(value.shape)}{suffix(value.dtype)}" for value in values)

        yield f"net {self.name or '(unnamed)'} ({self.state.phase})"
        if self.inputs:
            yield f"  inputs {show(self.inputs)}"
        for node in self.nodes:
            yield f"  {node.name or '(unnamed)'}: {node.layer.type}({show(node.bottoms)}) -> {show(node.tops) or '()'}"
        yield f"  outputs {show(self.outputs)}"


def _shaped(array: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """The array in a shape; one of another size, of a blob that a program has reshaped, keeps its own."""
    return array if array.shape == shape or array.size != math.prod(shape) else array.reshape(shape)


class ModuleKeys:
    """Returns a unique name for the torch submodule of each layer: the layer's name if torch accepts it.

    Slashes are kept. Dots, and names that torch or Python reserve, are escaped injectively; a number is
    appended to a repeated name.

    >>> keys = ModuleKeys()
    >>> keys.add("inception_3a/1x1"), keys.add("conv1.a"), keys.add(""), keys.add("train")
    ('inception_3a/1x1', 'conv1%2Ea', '%', '%train')
    >>> keys.add("relu"), keys.add("relu")
    ('relu', 'relu%1')
    """

    def __init__(self, used: Iterable[str] = ()) -> None:
        self._names = UniqueNames("%", used)

    def add(self, name: str) -> str:
        """Add and return the key of a layer."""
        escaped = name.replace("%", "%25").replace(".", "%2E")
        reserved = escaped in _RESERVED or escaped.startswith("__") or not escaped
        return self._names.add(f"%{escaped}" if reserved else escaped)

    @staticmethod
    def layer(key: str) -> str:
        """Return the name of the layer with a key that is not numbered.

        >>> [ModuleKeys.layer(key) for key in ("conv1%2Ea", "%", "%train", "%25", "%2Ea")]
        ['conv1.a', '', 'train', '%', '.a']
        """
        escaped = key if key.startswith(("%25", "%2E")) else key.removeprefix("%")
        return escaped.replace("%2E", ".").replace("%25", "%")


_RESERVED = frozenset(
    """T_destination add_module apply bfloat16 bind buffers call_super_init children code compile cpu cuda double
    dump_patches eval evaluate extra_repr faults float forward get_buffer get_extra_state get_parameter get_submodule
    graph half ipu load_state_dict modules mtia named_buffers named_children named_modules named_parameters nodes
    parameters print_readable recompile register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook report requires_grad_ run set_extra_state set_submodule
    share_memory state_dict to to_empty to_folder train training type xpu zero_grad self""".split()
)
"""Attributes of torch.nn.Module, torch.fx.GraphModule and netc's Net; a test compares them with the installed torch."""
