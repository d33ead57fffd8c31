"""Recurrent layers: a Scan over the steps. Each run starts from zeros where the net does not expose its states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.recurrent import LSTM, RNN, LSTMUnit, Recurrent

Step = Callable[[OnnxCall, str, str, Sequence[str]], "list[str]"]
"""Adds what a step does: from what the inputs add, the markers and the states to the new states, `h` first."""


@writes(LSTMUnit)
def lstm_unit(layer: LSTMUnit, call: OnnxCall) -> None:
    """One step: Sigmoid and Tanh of the gates, and what they let through."""
    cells, gates, cont = call.bottoms
    c, h = _unit(call, gates, call.op("Unsqueeze", cont, call.constant([2], "axes", np.int64)), cells)
    call.op("Identity", c, to=call.tops[0])
    call.op("Identity", h, to=call.tops[1])


def _unit(call: OnnxCall, gates: str, going_on: str, cells: str) -> tuple[str, str]:
    """New cells and outputs."""
    parts = [call.sink.fresh(f"{call.name}/{word}") for word in "ifog"]
    call.op("Split", gates, to=parts, axis=-1, num_outputs=4)
    i, f, o = (call.op("Sigmoid", part) for part in parts[:3])
    kept = call.op("Mul", call.op("Mul", going_on, f), cells)
    c = call.op("Add", kept, call.op("Mul", i, call.op("Tanh", parts[3])))
    return c, call.op("Mul", o, call.op("Tanh", c))


@writes(LSTM)
def lstm(layer: LSTM, call: OnnxCall) -> None:
    """Gates of all steps at once, then a step after the other."""
    weight = call.constant(call.blobs[-1].T, call.blob_names[-1])

    def step(body: OnnxCall, given: str, going_on: str, states: Sequence[str]) -> list[str]:
        h = body.op("MatMul", body.op("Mul", states[0], going_on), weight)
        c, h = _unit(body, body.op("Add", given, h), going_on, states[1])
        return [h, c]

    outputs, states = _scan(layer, call, step, 4)
    _tops(call, outputs, states)


@writes(RNN)
def rnn(layer: RNN, call: OnnxCall) -> None:
    """Hidden units a step after the other, then the output layer for all at once."""
    hidden_weight, out_weight = (call.constant(call.blobs[i].T, call.blob_names[i]) for i in (-3, -2))

    def step(body: OnnxCall, given: str, going_on: str, states: Sequence[str]) -> list[str]:
        h = body.op("MatMul", body.op("Mul", states[0], going_on), hidden_weight)
        return [body.op("Tanh", body.op("Add", given, h))]

    hidden, states = _scan(layer, call, step, 1)
    biased = call.op("Add", call.op("MatMul", hidden, out_weight), call.blob(len(call.blobs) - 1))
    _tops(call, call.op("Tanh", biased), states)


def _tops(call: OnnxCall, outputs: str, states: Sequence[str]) -> None:
    call.op("Identity", outputs, to=call.tops[0])
    axes = call.constant([0], "axes", np.int64)
    for state, top in zip(states, call.tops[1:]):
        call.op("Unsqueeze", state, axes, to=top)


def _scan(layer: Recurrent, call: OnnxCall, step: Step, gates: int) -> tuple[str, list[str]]:
    """The outputs of all steps, (t, n, units), and the states after the last."""
    import onnx

    streams, units, count = call.shapes[0][1], layer.num_output, len(layer.states)
    body = replace(call, sink=call.sink.inner())
    before = [call.sink.fresh(f"{call.name}/{state}_before") for state in layer.states]
    given, cont = call.sink.fresh(f"{call.name}/given"), call.sink.fresh(f"{call.name}/cont")
    going_on = body.op("Unsqueeze", cont, call.constant([1], "axes", np.int64))
    after = step(body, given, going_on, before)
    shown = body.op("Identity", after[0])

    kind = onnx.helper.np_dtype_to_tensor_dtype(call.sink.dtype)
    shapes = {given: (streams, gates * units), cont: (streams,)}

    def value(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, kind, shapes.get(name, (streams, units)))

    ins, outs = [*before, given, cont], [*after, shown]
    graph = onnx.helper.make_graph(body.sink.nodes(), f"{call.name}/step", [*map(value, ins)], [*map(value, outs)])
    results = [call.sink.fresh(f"{call.name}/{word}") for word in (*layer.states, "outputs")]
    first = _start(layer, call, (streams, units))
    call.op("Scan", *first, _given(layer, call), call.bottoms[1], to=results, body=graph, num_scan_inputs=2)
    return results[-1], results[:count]


def _start(layer: Recurrent, call: OnnxCall, shape: tuple[int, int]) -> list[str]:
    """The states before the first step."""
    if layer.expose_hidden:
        axes = call.constant([0], "axes", np.int64)
        return [call.op("Squeeze", bottom, axes) for bottom in call.bottoms[-len(layer.states) :]]
    zeros = call.constant(np.zeros(shape), "zeros")
    return [zeros] * len(layer.states)


def _given(layer: Recurrent, call: OnnxCall) -> str:
    """What the inputs of all steps add: (t, n, units or gates)."""
    exposed = len(layer.states) if layer.expose_hidden else 0
    flat = call.op("Reshape", call.x, call.constant([0, 0, -1], "flat", np.int64))
    given = call.op("Add", call.op("MatMul", flat, call.constant(call.blobs[0].T, call.blob_names[0])), call.blob(1))
    if len(call.bottoms) < 3 + exposed:
        return given
    static = call.op("Flatten", call.bottoms[2], axis=1)
    return call.op("Add", given, call.op("MatMul", static, call.constant(call.blobs[2].T, call.blob_names[2])))
