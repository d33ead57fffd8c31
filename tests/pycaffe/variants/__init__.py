"""Variants of layers with their formulas, by family; `test_variants` runs them all."""

from tests.pycaffe.variants import arithmetic, losses, shapes, windows

CASES = [*windows.CASES, *arithmetic.CASES, *shapes.CASES, *losses.CASES]
