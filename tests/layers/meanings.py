"""Layer types with several meanings, for tests: `Upsample` with meanings of its own, and a replaced Python layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from netc.ir.layer import Count, Layer, Mode
from netc.layers import _registry, register, registry
from netc.layers._python_replacement import PythonReplacement


def register_upsample(monkeypatch, likely: bool = False) -> tuple[type[Layer], ...]:
    """Register three meanings for one test: two bottoms, `upsample_param`, or one blob in the weights file.

    The first one may be `likely`.
    """
    registry()  # what a test imports first while the tables are replaced would be lost after it
    others = {name: classes for name, classes in _registry._BY_TYPE.items() if name != "Upsample"}
    monkeypatch.setattr(_registry, "_BY_TYPE", others)
    monkeypatch.setattr(_registry, "_PREDICATES", {**_registry._PREDICATES})
    monkeypatch.setattr(
        _registry, "_BY_PYTHON_CLASS", {key: {**one} for key, one in _registry._BY_PYTHON_CLASS.items()}
    )
    monkeypatch.setattr(_registry, "_LIKELY", {*_registry._LIKELY})

    @register("Upsample", dialect="segnet", field="upsample_param", when=lambda use: use.bottoms == 2, likely=likely)
    @dataclass(frozen=True)
    class Unpool(Layer):
        """Values go where a pooling layer found them."""

        bottom_count: ClassVar[Count] = Count(2)

    @register("Upsample", dialect="yolo", field="upsample_param", when=lambda use: "upsample_param" in use.parameters)
    @dataclass(frozen=True)
    class Repeat(Layer):
        """Each value is repeated."""

    @register("Upsample", dialect="weighted", when=lambda use: use.blobs == 1)
    @dataclass(frozen=True)
    class Weighted(Layer):
        """Upsampling by a learned kernel."""

    return Unpool, Repeat, Weighted


def register_shift(monkeypatch) -> type[Layer]:
    """Register a layer in place of class `Shift` of a Python module, for one test."""
    registry()
    monkeypatch.setattr(
        _registry, "_BY_PYTHON_CLASS", {key: {**one} for key, one in _registry._BY_PYTHON_CLASS.items()}
    )

    @register("Python", dialect="mnc", field="python_param", python=("shifts.layer.Shift", "old.Shift"))
    @dataclass(frozen=True)
    class Shift(PythonReplacement):
        """Adds a number to each element.

        Shapes: any to the same.

        Reference: `shifts/layer.py`.
        """

        by: float = 1.0
        """What is added."""
        axes: tuple[int, ...] = ()
        """Not used."""
        mode: str = "plain"
        """Not used."""
        loud: bool = False
        """Not used."""

        ignored_keys: ClassVar[frozenset[str]] = frozenset({"comment"})

        def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
            return bottoms[0] + self.by

    return Shift
