"""Lstm: the long short-term memory of CTPN and caffe_ocr, with its own order of blobs and optional markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, Weight, Weights, fail
from netc.ir.traits import Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Lstm", dialect="ctpn", field="lstm_param")
@dataclass(frozen=True)
class Lstm(Layer):
    """Long short-term memory (LSTM) that starts each batch from zeros, or continues where a second bottom says so.

    (i', f', o', g') = W_x x_t + W_h h_{t-1} + b, i, f, o = sigmoid(i', f', o'), g = tanh(g'), c_t = f c_{t-1} + i g,
    h_t = o tanh(c_t). Where a marker is 0 a sequence starts: h_{t-1} and c_{t-1} count as 0. With markers the states
    after the last step are kept for the next batch, separately for training and testing.

    Shapes: (t, n, ...) and optional markers (t n) to (t, n, num_output).

    >>> Lstm(num_output=4).infer(((5, 2, 3),), 1)
    ((5, 2, 4),)
    >>> [(w.name, w.shape) for w in Lstm(num_output=4).weights(((5, 2, 3),))]
    [('weight_x', (16, 3)), ('weight_h', (16, 4)), ('bias', (16,))]

    Reference: `lstm_layer.cu` of CTPN's Caffe and `lstm_layer_Junhyuk.cu` of caffe_ocr, both after J. Oh's caffe-lstm.
    Their CPU code adds W_h h_{t-1} of stream 0 to the gates of every stream; netc.pycaffe does so in CPU mode.
    """

    num_output: int
    """Number of hidden units, and of elements of each output vector."""
    clipping_threshold: float = 0.0
    """Bound of each element of the gradient before the gates' nonlinearities; 0 for none."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""
    batch_size: int = 1
    """Number of streams in files of caffe-lstm; no effect, as in CTPN's Caffe: it is the extent of the second axis."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def reads_top(self, in_place: bool) -> TopRead:
        """The outputs are the hidden states of the next steps (`lstm_layer.cpp`, Backward_cpu)."""
        return "values"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `lstm_param`. Raises NetcError E103 unless `num_output` is positive."""
        if cls is Lstm and len(layer.get("bottom", ())) > 1:
            own: Any = ContinuedLstm
            continued: Self = own.from_caffe(layer)
            return continued
        result = super().from_caffe(layer)
        if result.num_output <= 0:
            fail("`num_output` must be positive", code="E103", field="num_output")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms are no sequences and their markers."""
        x = bottoms[0]
        if len(x) < 3:
            fail(f"expected sequences (time steps, streams, ...) with at least 3 axes, got {text(x)}", field="bottom")
        for markers in bottoms[1:]:
            if not markers or differ(product(markers), x[0] * x[1]) or differ(product(markers[1:]), 1):
                steps = f"{counted(x[0], 'time step')} of {counted(x[1], 'stream')}"
                fail(f"expected one axis of markers, one for each of {steps}, got {text(markers)}", field="bottom")
        return ((x[0], x[1], self.num_output),)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight_x`, `weight_h` and `bias`; each holds the gates i, f, o and the input g, in this order."""
        gates = 4 * self.num_output
        return (
            Weight("weight_x", (gates, product(bottoms[0][2:])), self.weight_filler),
            Weight("weight_h", (gates, self.num_output), self.weight_filler),
            Weight("bias", (gates,), self.bias_filler),
        )

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Both matrices once per step and stream; ten operations per output."""
        steps = product(bottoms[0][:2])
        macs = sum(steps * product(weight.shape) for weight in self.weights(bottoms)[:2])
        return Cost(macs=macs, operations=10 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Torch's own kernel, unless gradients are clipped."""
        import torch

        x = bottoms[0].flatten(2)
        if self.clipping_threshold > 0 or (mode.cpu_code and x.shape[1] > 1):
            return self._steps(x, None, weights, (None, None), mode)[0]
        start = x.new_zeros(1, x.shape[1], self.num_output)
        weight_x, weight_h, bias = map(_in_torch_order, weights)
        blobs = (weight_x, weight_h, bias, torch.zeros_like(bias))
        training = torch.is_grad_enabled()  # cuDNN computes gradients in this mode only; there is no dropout
        outputs = torch.lstm(x, (start, start), blobs, True, 1, 0.0, training, False, False)[0]
        return outputs.clone() if training else outputs  # some kernels read their output in the backward pass

    def _steps(
        self,
        x: Tensor,
        markers: Tensor | None,
        weights: Sequence[Tensor],
        states: tuple[Tensor | None, Tensor | None],
        mode: Mode,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs and the last states of a loop over the steps."""
        import torch
        import torch.nn.functional as F

        start = x.new_zeros(x.shape[1], self.num_output)
        h, c = (start if state is None else state for state in states)
        outputs: list[Tensor] = []
        for t, given in enumerate(F.linear(x, weights[0], weights[2]).unbind(0)):
            going_on = None if markers is None else markers[t].unsqueeze(1)
            hidden = _from_hidden(h, weights[1], going_on, t, mode.cpu_code)
            h, c = self._step(given + hidden, c, going_on)
            outputs.append(h)
        return torch.stack(outputs), h, c

    def _step(self, gates: Tensor, c: Tensor, going_on: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.clipping_threshold > 0:
            from netc.functions.clipped_gradient import ClippedGradient

            gates = ClippedGradient.apply(gates, self.clipping_threshold)  # type: ignore[no-untyped-call]
        units = self.num_output
        i, f, o = gates[:, : 3 * units].sigmoid().chunk(3, 1)
        kept = f * c if going_on is None else f * c * going_on
        c = kept + i * gates[:, 3 * units :].tanh()
        return o * c.tanh(), c


@dataclass(frozen=True)
class ContinuedLstm(Lstm):
    """An Lstm with markers, which keeps its states from batch to batch.

    CTPN's code reads the marker of step t and stream n at t + n, and adds products with the hidden state to the
    gradient of `weight_h` at steps where a sequence starts too; both are so here.

    Shapes: (t, n, ...) and markers (t n) to (t, n, num_output).

    >>> ContinuedLstm(num_output=4).infer(((5, 1, 3), (5,)), 1)
    ((5, 1, 4),)

    Reference: `lstm_layer.cpp` of CTPN's Caffe.
    """

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    carries_state: ClassVar[bool] = True

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The states after the last step."""
        return tuple(StateEntry(name, (bottoms[0][1], self.num_output)) for name in "hc")

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A loop over the steps; no gradient flows from a batch to the previous one."""
        import torch

        steps, streams = bottoms[0].shape[:2]
        given = (bottoms[1].detach().flatten() != 0).to(bottoms[0].dtype)
        markers = torch.stack([given.narrow(0, n, steps) for n in range(streams)], 1)
        kept = [mode.kept(name) for name in "hc"]
        fit = all(state is not None and state.shape[0] == streams for state in kept)
        h, c = (state.to(bottoms[0]) if state is not None and fit else None for state in kept)
        outputs, h, c = self._steps(bottoms[0].flatten(2), markers, weights, (h, c), mode)
        if not torch.compiler.is_exporting():
            mode.keep("h", h.detach())
            mode.keep("c", c.detach())
        return outputs


def _in_torch_order(blob: Tensor) -> Tensor:
    """Return a blob with the gates i, f, g, o."""
    import torch

    units = blob.shape[0] // 4
    i_and_f, o, g = blob[: 2 * units], blob[2 * units : 3 * units], blob[3 * units :]
    return torch.cat((i_and_f, g, o))


def _from_hidden(h: Tensor, weight: Tensor, going_on: Tensor | None, t: int, first_only: bool) -> Tensor:
    """Return what the hidden states, or that of the first stream only, add to the gates.

    The gradient of the weight is that of caffe-lstm: it counts the state of each stream, also where a sequence starts,
    but of those before the first step that of stream 0 only.
    """
    import torch.nn.functional as F

    if going_on is None and not first_only:
        return F.linear(h, weight)
    value = F.linear(h[:1].expand_as(h) if first_only else h, weight.detach())
    value = value if going_on is None else value * going_on
    if not weight.requires_grad:
        return value
    counted_h = h.detach() if t else F.pad(h.detach()[:1], (0, 0, 0, h.shape[0] - 1))
    return value + F.linear(counted_h, weight - weight.detach())
