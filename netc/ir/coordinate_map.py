"""Maps of coordinates along the spatial axes of a blob; see `coordinates.py`."""

from __future__ import annotations

CoordinateMap = tuple[tuple[float, float], ...]
"""For each spatial axis, the scale and the shift from positions of the bottom to those of the top."""


def of_windows(
    kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...], dilation: tuple[int, ...] = ()
) -> CoordinateMap:
    """The map of a convolution or pooling.

    >>> of_windows((3,), (1,), (35,)), of_windows((2,), (2,), (0,))
    (((1.0, 34.0),), ((0.5, -0.25),))
    """
    spread = dilation or (1,) * len(kernel)
    return tuple(
        (1 / s, (p - d * (k - 1) / 2) / s) for k, s, p, d in zip(kernel, stride, pad, spread)
    )  # the center of the kernel


def inverted(one: CoordinateMap) -> CoordinateMap:
    """The map from the top to the bottom.

    >>> inverted(of_windows((4,), (2,), (0,)))
    ((2.0, 1.5),)
    """
    return tuple((1 / scale, -shift / scale) for scale, shift in one)


def composed(first: CoordinateMap, second: CoordinateMap) -> CoordinateMap:
    """The map of one layer after another.

    >>> composed(((0.5, -0.25),), ((2.0, 1.5),))
    ((1.0, 1.0),)
    """
    return tuple((a * c, b * c + d) for (a, b), (c, d) in zip(first, second))
