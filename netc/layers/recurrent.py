"""Recurrent layers: RNN, LSTM, and the single-step LSTMUnit.

Sequences have shape (t, n, ...): t time steps of n independent streams. `cont` (t, n) is 0 where a new sequence starts
and 1 where a sequence continues; the hidden state before a step is multiplied by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, Weight, Weights, fail
from netc.ir.traits import Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Recurrent(Layer):
    """Base of RNN and LSTM: bottoms, tops and the hidden state.

    Bottoms: x (t, n, ...), cont (t, n), then an optional static input (n, ...) that is added in every step, then, with
    `expose_hidden`, the states before the first step, each (1, n, num_output). Tops: the outputs
    (t, n, num_output), then, with `expose_hidden`, the states after the last step.

    Without `expose_hidden` the states are kept from batch to batch, separately for training and testing; a batch with
    another number of streams starts from zeros, as does every call of an exported program. No gradient flows from a
    batch to the previous one, nor through exposed states.

    Reference: `recurrent_layer.cpp`.
    """

    num_output: int
    """Number of hidden units, and of elements of each output vector."""
    expose_hidden: bool = False
    """Read the initial hidden states from bottoms and return the final ones as tops."""
    debug_info: bool = False
    """Whether Caffe logs the unrolled net; no effect in netc."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the biases are initialized."""

    bottom_count: ClassVar[Count] = Count(2, 5)
    top_count: ClassVar[Count] = Count(1, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    states: ClassVar[tuple[str, ...]] = ()
    """Names of the states carried from step to step, in the order of the exposed blobs."""

    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """The hidden states, unless they are exposed."""
        return not self.expose_hidden

    def reads_top(self, in_place: bool) -> TopRead:
        """The last layer of the unrolled net reads its own top (`rnn_layer.cpp`, `lstm_layer.cpp`)."""
        return "values"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `recurrent_param`. Raises NetcError E103 unless `num_output` is positive."""
        result = super().from_caffe(layer)
        if result.num_output <= 0:
            fail("`num_output` must be positive", code="E103", field="num_output")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E020 if the number of bottoms or tops does not match `expose_hidden`, E102 for shapes."""
        exposed = len(self.states) if self.expose_hidden else 0
        self._counts(len(bottoms), tops, exposed)
        x, cont = bottoms[:2]
        if len(x) < 3:
            fail(f"expected sequences (time steps, streams, ...) with at least 3 axes, got {text(x)}", field="bottom")
        if differ(cont, x[:2]):
            fail(
                f"sequence markers {text(cont)} for {counted(x[0], 'time step')} of {counted(x[1], 'stream')}",
                field="bottom",
            )
        if self._has_static(bottoms) and (len(bottoms[2]) < 2 or differ(bottoms[2][0], x[1])):
            fail(f"a static input {text(bottoms[2])} for {counted(x[1], 'stream')}", field="bottom")
        state = (1, x[1], self.num_output)
        for name, shape in zip(self.states, bottoms[len(bottoms) - exposed :]):
            if differ(shape, state):
                fail(f"expected an initial state `{name}` of shape {text(state)}, got {text(shape)}", field="bottom")
        return ((x[0], x[1], self.num_output), *(state,) * exposed)

    def _counts(self, bottoms: int, tops: int, exposed: int) -> None:
        variant = f"`{self.type}` {'with' if exposed else 'without'} `expose_hidden`"
        if bottoms not in (2 + exposed, 3 + exposed):
            rule = Count(2 + exposed, 3 + exposed).text("bottom")
            fail(f"{variant} expects {rule}, got {bottoms}", code="E020", field="bottom")
        if tops != 1 + exposed:
            rule = Count(1 + exposed).text("top")
            fail(f"{variant} expects {rule}, got {tops}", code="E020", field="top")

    def _has_static(self, bottoms: Sequence[object]) -> bool:
        return len(bottoms) == 3 + (len(self.states) if self.expose_hidden else 0)

    def _matrix(self, name: str, outputs: int, inputs: int) -> Weight:
        return Weight(name, (outputs, inputs), self.weight_filler)

    def _static(self, name: str, outputs: int, bottoms: Shapes) -> Weights:
        return (self._matrix(name, outputs, product(bottoms[2][1:])),) if self._has_static(bottoms) else ()

    def _bias(self, name: str, outputs: int) -> Weight:
        return Weight(name, (outputs,), self.bias_filler)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Each matrix once per step and stream, that of the static input once per stream; ten operations per output."""
        t, n = bottoms[0][:2]
        macs = 0
        for weight in self.weights(bottoms):
            steps = 1 if weight.name.endswith("static") else t
            macs += steps * n * product(weight.shape) if len(weight.shape) > 1 else 0
        return Cost(macs=macs, operations=10 * product(tops[0]))

    def _inputs(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the contribution of the inputs to the hidden units: one product for all steps."""
        import torch.nn.functional as F

        given = F.linear(bottoms[0].flatten(2), weights[0], weights[1])
        if self._has_static(bottoms):
            given = given + F.linear(bottoms[2].flatten(1), weights[2])
        return given.unbind(0)

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The states after the last step, unless they are tops."""
        shape = (bottoms[0][1], self.num_output)
        return () if self.expose_hidden else tuple(StateEntry(name, shape) for name in self.states)

    def _start(self, bottoms: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Return the states before the first step, each (n, num_output)."""
        if self.expose_hidden:
            return tuple(bottom.detach()[0] for bottom in bottoms[-len(self.states) :])
        n = bottoms[0].shape[1]
        kept = [state for name in self.states if (state := mode.kept(name)) is not None]
        if len(kept) == len(self.states) and kept[0].shape[0] == n:
            return tuple(state.to(bottoms[0]) for state in kept)
        return (bottoms[0].new_zeros(n, self.num_output),) * len(self.states)

    def _finish(self, outputs: Tensor, states: tuple[Tensor, ...], mode: Mode) -> tuple[Tensor, ...]:
        """Return the tops; keep the states for the next batch unless they are exposed."""
        import torch

        states = tuple(state.detach() for state in states)
        if self.expose_hidden:
            return (outputs, *(state.unsqueeze(0) for state in states))
        if not torch.compiler.is_exporting():
            for name, state in zip(self.states, states):
                mode.keep(name, state)
        return (outputs,)


@register("RNN", field="recurrent_param")
@dataclass(frozen=True)
class RNN(Recurrent):
    """A simple recurrent network with a hidden layer and an output layer of `num_output` units each.

    h_t = tanh(W_hh cont_t h_{t-1} + W_xh x_t + b_h [+ W_xh_static x_static]), o_t = tanh(W_ho h_t + b_o).

    Shapes: (t, n, ...) and (t, n) to (t, n, num_output).

    >>> RNN(num_output=4).infer(((5, 2, 3), (5, 2)), 1)
    ((5, 2, 4),)

    Reference: `rnn_layer.cpp`.
    """

    states: ClassVar[tuple[str, ...]] = ("h",)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight_xh`, `bias_h`, `weight_xh_static` with a static input, `weight_hh`, `weight_ho`, `bias_o`."""
        units = self.num_output
        return (
            self._matrix("weight_xh", units, product(bottoms[0][2:])),
            self._bias("bias_h", units),
            *self._static("weight_xh_static", units, bottoms),
            self._matrix("weight_hh", units, units),
            self._matrix("weight_ho", units, units),
            self._bias("bias_o", units),
        )

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The outputs of all steps are computed at once, after the loop."""
        import torch
        import torch.nn.functional as F

        weight_hh, weight_ho, bias_o = weights[-3:]
        (h,) = self._start(bottoms, mode)
        hidden = []
        for given, cont in zip(self._inputs(bottoms, weights), bottoms[1].detach().unbind(0)):
            h = torch.addmm(given, h * cont.unsqueeze(1), weight_hh.t()).tanh()
            hidden.append(h)
        outputs = F.linear(torch.stack(hidden), weight_ho, bias_o).tanh()
        return self._finish(outputs, (h,), mode)


@register("LSTM", field="recurrent_param")
@dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory (LSTM); every weight holds the gates i, f, o and the input g, in this order.

    (i', f', o', g') = W_hc cont_t h_{t-1} + W_xc x_t + b_c [+ W_xc_static x_static], then LSTMUnit.

    Shapes: (t, n, ...) and (t, n) to (t, n, num_output).

    >>> LSTM(num_output=4, expose_hidden=True).infer(((5, 2, 3), (5, 2), (1, 2, 4), (1, 2, 4)), 3)
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))

    Reference: `lstm_layer.cpp`; Donahue et al., Long-term Recurrent Convolutional Networks, 2015.
    """

    overwritable: ClassVar[bool] = True
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight_xc`, `bias_c`, `weight_xc_static` with a static input, `weight_hc`."""
        gates = 4 * self.num_output
        return (
            self._matrix("weight_xc", gates, product(bottoms[0][2:])),
            self._bias("bias_c", gates),
            *self._static("weight_xc_static", gates, bottoms),
            self._matrix("weight_hc", gates, self.num_output),
        )

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """One product for the inputs of all steps, then a loop over the steps."""
        import torch

        h, c = self._start(bottoms, mode)
        outputs = []
        for given, cont in zip(self._inputs(bottoms, weights), bottoms[1].detach().unbind(0)):
            going_on = cont.unsqueeze(1)
            c, h = _lstm_step(torch.addmm(given, h * going_on, weights[-1].t()), c, going_on)
            outputs.append(h)
        return self._finish(torch.stack(outputs), (h, c), mode)


@register("LSTMUnit")
@dataclass(frozen=True)
class LSTMUnit(Layer):
    """One step of an LSTM without weights: new memory cells and outputs from the gates' inputs.

    i, f, o = sigmoid(i', f', o'), g = tanh(g'), c = cont f c_prev + i g, h = o tanh(c).

    Shapes: c_prev (1, n, d), gates (1, n, 4 d), cont (1, n) to c and h, both (1, n, d).

    >>> LSTMUnit().infer(((1, 3, 4), (1, 3, 16), (1, 3)), 2)
    ((1, 3, 4), (1, 3, 4))

    Reference: `lstm_unit_layer.cpp`. Where `cont` is neither 0 nor 1, its CPU code takes the forget gate's gradient
    from the gate times `cont`; the derivative is computed here, as its GPU code does.
    """

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def reads_top(self, in_place: bool) -> TopRead:
        """The new memory cells (`lstm_unit_layer.cpp`, Backward_cpu)."""
        return "values"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if cells, gates and markers do not match."""
        cells, gates, cont = bottoms
        if len(cells) != 3 or differ(cells[0], 1):
            fail(f"expected memory cells (1, streams, units), got {text(cells)}", field="bottom")
        needed: tuple[tuple[str, Shape, Shape], ...] = (
            ("gates", gates, (1, cells[1], 4 * cells[2])),
            ("sequence markers", cont, (1, cells[1])),
        )
        for name, shape, right in needed:
            if differ(shape, right):
                fail(f"expected {name} {text(right)} for memory cells {text(cells)}, got {text(shape)}", field="bottom")
        return (cells, cells)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four gates, five multiplications and additions, and one tanh per unit."""
        return Cost(operations=10 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Gradients flow through both tops."""
        return _lstm_step(bottoms[1], bottoms[0], bottoms[2].detach().unsqueeze(-1))


def _lstm_step(gates: Tensor, c: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Return new cells and outputs; the last axis of `gates` holds i, f, o and g."""
    units = c.shape[-1]
    i, f, o = gates[..., : 3 * units].sigmoid().chunk(3, -1)
    c = cont * f * c + i * gates[..., 3 * units :].tanh()
    return c, o * c.tanh()
