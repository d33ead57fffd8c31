"""A layer type with several meanings, for tests: `Upsample` as three forks might have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.layer import Count, Layer
from netc.layers import _registry, register, registry


def register_upsample(monkeypatch) -> tuple[type[Layer], ...]:
    """Register three meanings for one test: two bottoms, `upsample_param`, or one blob in the weights file."""
    registry()  # what a test imports first while the tables are replaced would be lost after it
    monkeypatch.setattr(_registry, "_BY_TYPE", {**_registry._BY_TYPE})
    monkeypatch.setattr(_registry, "_PREDICATES", {**_registry._PREDICATES})

    @register("Upsample", dialect="segnet", field="upsample_param", when=lambda use: use.bottoms == 2)
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
