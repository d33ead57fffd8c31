"""Nets of one operator of Caffe2, run through `netc.load`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import pytest

import netc
from netc import NetcError
from netc.diagnostics import Source


def argument(name: str, value: object) -> str:
    """An argument in the field of its type; lists are of integers."""
    if isinstance(value, str):
        return f'arg {{ name: "{name}" s: "{value}" }}'
    if isinstance(value, float):
        return f'arg {{ name: "{name}" f: {value!r} }}'
    numbers = value if isinstance(value, list) else [value]
    field = "ints" if isinstance(value, list) else "i"
    return f'arg {{ name: "{name}" {" ".join(f"{field}: {int(number)}" for number in numbers)} }}'


def text(type_name: str, inputs: Sequence[str], outputs: Sequence[str], **arguments: object) -> str:
    """A net of one operator."""
    blobs = [f'input: "{name}"' for name in inputs] + [f'output: "{name}"' for name in outputs]
    parts = [*blobs, f'type: "{type_name}"', *(argument(name, value) for name, value in arguments.items())]
    external = "".join(f' external_input: "{name}"' for name in dict.fromkeys(inputs))
    return f"op {{ {' '.join(parts)} }}{external}"


class OneOperator:
    """An operator whose inputs are A, B, ..., and whose outputs are Y, Y1, ... unless named."""

    def __init__(
        self, type_name: str, *arrays: np.ndarray, outputs: Sequence[str] = ("Y",), **arguments: object
    ) -> None:
        self.names = [chr(ord("A") + i) for i in range(len(arrays))]
        self.inputs = dict(zip(self.names, arrays))
        self.outputs = list(outputs)
        self.net = netc.load(Source("net.pbtxt", text(type_name, self.names, outputs, **arguments)))

    def run(self) -> list[np.ndarray]:
        """The outputs."""
        found = self.net.run(self.inputs, self.outputs)
        return [found[name] for name in self.outputs]

    def gradients(self, *upstream: np.ndarray, wrt: Sequence[int] | None = None) -> list[np.ndarray]:
        """The gradients of the inputs (default: all) for those of the first outputs."""
        names = self.names if wrt is None else [self.names[i] for i in wrt]
        found = self.net.gradients(self.inputs, dict(zip(self.outputs, upstream)), names)
        return [found[name] for name in names]


def run(type_name: str, *arrays: np.ndarray, outputs: Sequence[str] = ("Y",), **arguments: object) -> np.ndarray:
    """The first output of an operator."""
    return OneOperator(type_name, *arrays, outputs=outputs, **arguments).run()[0]


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Compare float32 with float64, and shapes."""
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@contextlib.contextmanager
def refused(code: str, words: str):
    """A context in which one diagnostic of this code, with these words, is raised."""
    with pytest.raises(NetcError) as caught:
        yield
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert words in found.message, found.message
