"""Recurrent layers. Each call starts from zeros where the net does not expose its states."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.recurrent import LSTM, RNN, LSTMUnit, Recurrent


@writes(LSTMUnit)
def lstm_unit(layer: LSTMUnit, call: PythonCall) -> Code:
    """One step."""
    return Code(f"lstm_unit({', '.join(call.bottoms)})", functions=("lstm_unit",))


@writes(LSTM)
def lstm(layer: LSTM, call: PythonCall) -> Code:
    """A loop over the steps."""
    return _loop(layer, call, "lstm", call.weights[-1:], ("lstm_unit", "lstm"))


@writes(RNN)
def rnn(layer: RNN, call: PythonCall) -> Code:
    """A loop over the steps, and the output layer for all at once."""
    return _loop(layer, call, "rnn", call.weights[-3:], ("rnn",))


def _loop(layer: Recurrent, call: PythonCall, name: str, weights: tuple[str, ...], functions: tuple[str, ...]) -> Code:
    exposed = len(layer.states) if layer.expose_hidden else 0
    given = f"F.linear({call.x}.flatten(2), {call.weights[0]}, {call.weights[1]})"
    if len(call.bottoms) == 3 + exposed:
        given += f" + F.linear({call.bottoms[2]}.flatten(1), {call.weights[2]})"
    states = call.bottoms[len(call.bottoms) - exposed :]
    found = f"{name}({', '.join([given, call.bottoms[1], *weights, *states])})"
    return Code(found if exposed else f"{found}[0]", functions=functions)
