"""Box arithmetic against formulas for single boxes, in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from netc.functions import boxes as b


def some(n: int, seed: int, inverted: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centers, sizes = (torch.rand(n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    sizes = sizes - 0.5 if inverted else sizes + 0.01
    return torch.cat((centers - sizes / 2, centers + sizes / 2), 1)


def iou_of(p, q, extra: float) -> float:
    width = min(p[2], q[2]) - max(p[0], q[0]) + extra
    height = min(p[3], q[3]) - max(p[1], q[1]) + extra
    if width <= 0 or height <= 0:
        return 0.0
    own = [(c - a + extra) * (d - b + extra) if c >= a and d >= b else 0 for a, b, c, d in (p, q)]
    return width * height / (sum(own) - width * height)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_overlaps_are_those_of_the_formula(inclusive, inverted):
    first, second = some(7, 1, inverted), some(5, 2, inverted)
    expected = [[iou_of(p, q, float(inclusive)) for q in second.tolist()] for p in first.tolist()]
    torch.testing.assert_close(b.iou(first, second, inclusive), torch.tensor(expected, dtype=torch.float64))


def test_boxes_without_area_do_not_overlap():
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert b.iou(point, point).tolist() == [[0.0]]
    assert b.iou(point, point, inclusive=True).tolist() == [[1.0]]


@pytest.mark.parametrize("code_type", [b.CORNER, b.CENTER_SIZE, b.CORNER_SIZE])
@pytest.mark.parametrize("variances", [None, torch.tensor([0.1, 0.15, 0.2, 0.3], dtype=torch.float64)])
def test_decoding_inverts_encoding(code_type, variances):
    boxes, priors = some(6, 3), some(6, 4)
    codes = b.encode(boxes, priors, variances, code_type)
    torch.testing.assert_close(b.decode(codes, priors, variances, code_type), boxes)


def test_codes_are_those_of_the_formulas():
    box, prior, variance = [0.1, 0.2, 0.5, 0.4], [0.2, 0.1, 0.6, 0.6], [0.1, 0.2, 0.3, 0.4]
    arguments = [torch.tensor([v], dtype=torch.float64) for v in (box, prior, variance)]
    corner = [(p - q) / v for p, q, v in zip(box, prior, variance)]
    sizes = [0.4, 0.5, 0.4, 0.5]
    center = [(0.3 - 0.4) / 0.4 / 0.1, (0.3 - 0.35) / 0.5 / 0.2, math.log(0.4 / 0.4) / 0.3, math.log(0.2 / 0.5) / 0.4]
    expected = {b.CORNER: corner, b.CORNER_SIZE: [c / s for c, s in zip(corner, sizes)], b.CENTER_SIZE: center}
    for code_type, codes in expected.items():
        torch.testing.assert_close(b.encode(*arguments, code_type)[0], torch.tensor(codes, dtype=torch.float64))


def test_deltas_include_the_last_pixel():
    anchor, box = torch.tensor([[10.0, 20.0, 25.0, 51.0]]), torch.tensor([[12.0, 24.0, 27.0, 55.0]])
    codes = b.deltas(box, anchor)
    torch.testing.assert_close(codes, torch.tensor([[2 / 16, 4 / 32, 0.0, 0.0]]))
    torch.testing.assert_close(b.apply_deltas(anchor, codes), box + torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert b.apply_deltas(anchor, codes.repeat(1, 3)).shape == (1, 12)


def test_clipping_clamps_each_coordinate():
    boxes = torch.tensor([[-3.0, 5.0, 40.0, 90.0]])
    assert b.clip(boxes, 31, 63).tolist() == [[0.0, 5.0, 31.0, 63.0]]
