"""The interface of a layer type: everything netc knows about it is in one frozen dataclass.

A subclass declares its parameters as dataclass fields, named as in Caffe's schema and resolved
(`kernel_h` and `kernel_size` become one `kernel`), and overrides the defaults where it differs from them.
Torch is imported only inside `module` and `forward`, because `netc check` must not import it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

from netc.diagnostics import NetcError, counted
from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.field_values import argument, default, plain
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.quantization import Quantization
from netc.ir.traits import Traits

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from netc.ir.operator import Operator
    from netc.ir.parameters import ParamSpec

FileAccess = Literal["none", "own", "any"]
"""Whether a layer may write a file: no; one that is new or that netc wrote; or any, which is overwritten."""
Shapes = tuple[Shape, ...]
DTypes = tuple[DType, ...]
CaffeFields = Mapping[str, tuple[str, ...]]
"""Prototxt fields of each parameter, as paths within a `layer` message."""


@dataclass(frozen=True)
class Count:
    """The number of bottoms or tops that a layer accepts.

    >>> Count(1, 2).text("bottom"), Count(2).text("bottom"), Count(1, None).text("top")
    ('1 or 2 bottoms', '2 bottoms', 'at least 1 top')
    """

    low: int
    high: int | None = -1
    """-1 means the same as `low`, None means unlimited."""

    def __contains__(self, count: int) -> bool:
        high = self.low if self.high == -1 else self.high
        return count >= self.low and (high is None or count <= high)

    def most(self, count: int) -> int:
        """The maximum; `count` if unlimited.

        >>> Count(1, 2).most(5), Count(2).most(5), Count(1, None).most(5)
        (2, 2, 5)
        """
        return count if self.high is None else self.low if self.high == -1 else self.high

    def text(self, noun: str) -> str:
        """The rule in words."""
        high = self.low if self.high == -1 else self.high
        if high is None:
            return f"at least {counted(self.low, noun)}"
        if high == self.low:
            return counted(high, noun)
        return f"{self.low} {'or' if high == self.low + 1 else 'to'} {high} {noun}s"


@dataclass(frozen=True)
class Weight:
    """One blob of a layer, in .caffemodel order."""

    name: str
    """Its name in the torch module: `weight`, `bias`, `running_mean`, ..."""
    shape: Shape
    """Caffe's shape."""
    filler: Filler = field(default_factory=Filler)
    torch_shape: Shape | None = None
    """The shape in the torch module, with the elements in the same order, if it differs."""
    dtype: DType = "float32"
    learnable: bool = True
    """False for a blob that no solver changes (BatchNorm's statistics): a buffer in torch."""
    array: NDArray[Any] | None = field(default=None, compare=False, repr=False)
    """Initial values that replace those of the filler, such as those set by a Python layer's `setup`."""

    @property
    def module_shape(self) -> Shape:
        """The shape of the torch tensor."""
        return self.shape if self.torch_shape is None else self.torch_shape


Weights = tuple[Weight, ...]
Affine = tuple["NDArray[Any]", "NDArray[Any]"]
"""A factor and an addend for each channel."""


@dataclass(frozen=True)
class Cost:
    """Operations of one forward pass."""

    macs: int = 0
    """Multiply-adds of convolutions and inner products, which papers report as FLOPs."""
    operations: int = 0
    """Other operations: comparisons, additions, exponentials, each counted once."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.operations + other.operations)


@dataclass(frozen=True)
class Constant:
    """A constant tensor of a layer: a buffer of its module that never changes, not one of its blobs."""

    name: str
    file: str = ""
    """Path of the file that holds it, as in the net file; empty if `values` holds it."""
    values: tuple[float, ...] = ()
    is_text: bool = False
    """Whether the file holds numbers as text; otherwise it is a .binaryproto."""
    column: int | None = None
    """Which word of each line of a text file is a number of the constant; None for all of them."""


@dataclass(frozen=True)
class StateEntry:
    """A tensor that a layer keeps from one pass to the next; the runtime owns it."""

    name: str
    shape: Shape
    dtype: DType = "float32"
    by_mode: bool = True
    """Whether training and testing each have their own tensor."""


@dataclass
class Mode:
    """The context of a layer's `forward`, created and owned by the runtime."""

    training: bool
    """As nn.Module.training: dropout is active, BatchNorm accumulates statistics."""
    tops: int
    """Number of tops that the layer has in the net."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """Tensors kept from earlier passes. Use `kept` and `keep`."""
    check: Callable[[torch.Tensor, torch.Tensor, str], None] | None = None
    """`check(values, bad, "label")`: values where `bad` is true are out of range. Use `check_range`."""
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    """The layer's constants, by name."""
    all_sum: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Differentiable sum of a tensor over all training processes; None if each normalizes by its own batch."""
    files: FileAccess = "none"
    """Whether a layer that writes a file (`Traits.writes_file`) may do so."""
    cpu_code: bool = False
    """Whether to compute as a fork's CPU code where it differs from its GPU code (netc.pycaffe in CPU mode)."""
    find: Callable[[str], Path] = Path
    """Returns the path of a file that the layer names and reads in a pass: see `netc.paths`."""

    def kept(self, name: str, by_mode: bool = True) -> Tensor | None:
        """The tensor of an entry of the layer's state, None before the first `keep`; `by_mode` as in the entry."""
        return self.state.get(self._slot(name, by_mode))

    def keep(self, name: str, tensor: Tensor, by_mode: bool = True) -> None:
        """Store a tensor in an entry of the layer's state for later passes."""
        self.state[self._slot(name, by_mode)] = tensor

    def _slot(self, name: str, by_mode: bool) -> str:
        if not by_mode:
            return name
        return f"{name}.train" if self.training else f"{name}.test"

    def check_range(self, values: Tensor, low: int, high: int, what: str, ignore: int | None = None) -> None:
        """Report values not in low <= value < high, including NaN: immediately on a CPU, at the next sync on a GPU.

        Raises NetcError E301, to which the runtime adds the layer. `ignore` is a value that is always valid.
        """
        if self.check is None:
            return
        bad = ~((values >= low) & (values < high))
        if ignore is not None:
            bad = bad & (values != ignore)
        self.check(
            values, bad, f"{what} outside 0 to {high - 1}" if low == 0 else f"{what} outside {low} to {high - 1}"
        )


@dataclass(frozen=True)
class Layer(Traits):
    """A layer type with its parameters: a value, without name, bottoms or tops."""

    type: ClassVar[str] = ""
    """Caffe's `type`, set by `register`."""
    param_field: ClassVar[str | None] = None
    """The field of LayerParameter that holds the parameters, set by `register`."""
    v1: ClassVar[str | None] = None
    """The name in V1LayerParameter.LayerType, None if there is none; set by `register`."""
    dialect: ClassVar[str] = ""
    """The fork of Caffe that defines `type` in this way, empty for BVLC; set by `register`."""
    python_classes: ClassVar[tuple[str, ...]] = ()
    """The classes of Python layers, as `module.Class`, in whose place this layer runs; set by `register`."""

    caffe_fields: ClassVar[CaffeFields] = {}
    """The fields of each parameter that is not read from the field of the same name in `param_field`."""

    fork_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that a fork added to messages of BVLC's and that this type reads, although BVLC's types do not:
    `PoolingParameter.kernel_depth`."""

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(1)
    empty_blobs: ClassVar[bool] = False
    """Whether blobs without elements are accepted, as Caffe2 does and Caffe does not."""
    accepts: ClassVar[tuple[frozenset[DType], ...]] = ()
    """The types that each bottom accepts, an empty set for all; the last one is that of all further bottoms."""
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ()
    """The pairs of an input and an output that may be the same blob in Caffe2 (`AllowInplace` of its schema)."""
    hidden_inputs: ClassVar[tuple[str, ...]] = ()
    """The blobs that an operator of Caffe2 reads by name, if the net has them: they follow its inputs."""
    quantization: ClassVar[Quantization | None] = None
    """How the integers of the first top stand for real numbers; None unless they do."""
    same_count: ClassVar[bool] = False
    """Whether the layer has one top per bottom (layers that apply the same weights to each bottom)."""

    # ------------------------------------------------------------------ reading and writing files

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Create the layer from the fields of a LayerParameter.

        By default each dataclass field is the value of the same name in the message of `param_field`.
        Raises NetcError; pass the invalid field as `field=`, and the front end adds its position.
        """
        parameters = layer.message(cls.param_field) if cls.param_field else layer
        return cls(**{f.name: plain(parameters, f) for f in dataclasses.fields(cls)})

    def to_caffe(self) -> dict[str, Any]:
        """The layer's parameter message as plain values, the inverse of `from_caffe`; without defaults."""
        changed = ((f, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {f.name: value for f, value in changed if value != default(f)}

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """The prototxt fields that a parameter is read from, as paths within a `layer` message."""
        return cls.caffe_fields.get(parameter, (f"{cls.param_field}.{parameter}",))

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Create the layer from an operator of Caffe2.

        By default each dataclass field is the argument of the same name, by the type of the field: a number, a flag,
        text, or a list of numbers. Raises NetcError; pass the invalid argument as `field=`.
        """
        return cls(**{f.name: argument(operator, f) for f in dataclasses.fields(cls) if f.name in operator})

    def quantized_by(self, sources: Sequence[Quantization | None]) -> Self:
        """Return the layer for bottoms of these quantizations. Raises NetcError E107 for one unless overridden."""
        index = next((i for i, source in enumerate(sources) if source is not None), None)
        if index is not None:
            fail(f"input {index} of `{self.type}` is quantized", code="E107", help="convert it with Int8Dequantize")
        return self

    # ------------------------------------------------------------------ shapes, weights and cost

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Shapes of the tops (all that the layer can return; the caller uses the first `tops`).

        Extents may be UNKNOWN; a top whose number of axes is known only at run time is None. Raises NetcError with
        the numbers; the caller adds layer and bottoms.
        The default: every top has the shape of its bottom.
        """
        return bottoms

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Types of the tops; by default that of the first bottom, or `float32` without bottoms.

        Caffe's blobs are float32: where torch returns integer indices, `forward` converts them to floating point.
        Raises NetcError E107 for a bottom of a type that is not among those that the layer `accepts`.
        """
        self.check_dtypes(bottoms)
        return (bottoms[0] if bottoms else "float32",) * tops

    def check_dtypes(self, bottoms: DTypes) -> None:
        """Raise NetcError E107 for a bottom of a type that the layer does not accept; `unknown` is always accepted."""
        for index, dtype in enumerate(bottoms if self.accepts else ()):
            accepted = self.accepts[min(index, len(self.accepts) - 1)]
            if accepted and dtype not in accepted and dtype != "unknown":
                expected = " or ".join(sorted(accepted))
                fail(f"input {index} of `{self.type}` has type {dtype}, expected {expected}", code="E107")

    def weights(self, bottoms: Shapes) -> Weights:
        """The layer's blobs in .caffemodel order; none by default."""
        return ()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Operations of one forward pass; by default one per element of the first top."""
        from netc.ir.dims import product

        return Cost(operations=product(tops[0]) if tops else 0)

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The constants that `forward` reads from `mode.constants`; `bottoms` is the number of bottoms."""
        return ()

    def given(self) -> NDArray[Any] | None:
        """The values of the only top if the file gives them, perhaps as a view of it; None if they are computed."""
        return None

    def score_layer(self) -> Layer | None:
        """The layer that computes the score of which this loss is a function, from the same first bottom; None if the
        bottom itself is the score, or this is not a loss.
        """
        return None

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The tensors that `forward` keeps from pass to pass with `mode.keep`; none by default."""
        return ()

    @classmethod
    def in_file_order(cls, arrays: Sequence[NDArray[Any] | None]) -> Sequence[NDArray[Any] | None]:
        """Return the blobs of a weights file in the order of `weights`; a fork may have written them in another."""
        return arrays

    def fitted(self, arrays: Sequence[Any], shapes: Shapes) -> Sequence[Any]:
        """Return the blobs of a weights file, which `in_file_order` has sorted, for blobs of these shapes.

        Arrays that do not fit are an error of the caller, unless the fork of the layer adapts them (a mean image of
        another size); None leaves a blob as it is.
        """
        return arrays

    def other_layer(self, blobs: int) -> str | None:
        """Return which other layer of this type has that number of blobs, and how to use it; None if none is known."""
        return None

    def param_specs(self, specs: tuple[ParamSpec, ...]) -> tuple[ParamSpec, ...]:
        """Return the settings of blobs in a file in the order of `weights`; see `in_file_order`."""
        return specs

    # ------------------------------------------------------------------ computation

    def channel_affine(self, blobs: Sequence[NDArray[Any]], axes: int) -> Affine | None:
        """The factor and addend of each channel (axis 1) that the layer is in test; None if it is anything else.

        `blobs` are the layer's blobs in Caffe's shapes and float64, `axes` is the number of axes of the only bottom.
        """
        return None

    def absorbs(self, reader: Layer) -> bool:
        """Whether `reader`, the only reader of this layer's top, can be fused with it.

        Its weights, in order, are then passed to this layer's module as further arguments (BatchNorm and Scale).
        """
        return False

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """A torch.nn module with the same semantics, None if `forward` is to be wrapped.

        Its parameters and buffers have the names in `weights`.
        """
        return None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Compute the tops; autograd must yield the gradients of Caffe's backward pass."""
        raise NotImplementedError(f"{type(self).__name__} has neither module() nor forward()")


@dataclass(frozen=True)
class DataLayer(Layer):
    """A layer whose tops come from outside the net."""

    is_data: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(0)
    top_count: ClassVar[Count] = Count(1, None)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Shapes of the tops for the shapes of one record of the source.

        `record` is None if no source is available; a top whose number of axes is then unknown is None.
        """
        raise NotImplementedError

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """The fields by which the layer changes the order or the content of its records at random; none by default."""
        return ()


def fail(message: str, *notes: str, code: str = "E102", field: str | None = None, help: str | None = None) -> NoReturn:
    """Raise NetcError for a rule that a layer's parameters or bottoms violate.

    Codes: E101 a parameter is missing or contradicts another, E102 shapes do not match, E103 a value is out of range,
    E107 an element type is not accepted.
    """
    raise NetcError(message, code=code, notes=notes, field=field, help=help)
