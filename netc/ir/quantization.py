"""How integers of a Caffe2 net stand for real numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantization:
    """The real number of an integer q is (q - zero_point) * scale.

    In Caffe2 both belong to the blob; here to the operator that writes it, of which they are arguments.
    """

    scale: float = 1.0
    """A number of type float32."""
    zero_point: int = 0
