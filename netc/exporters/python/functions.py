"""Functions in plain torch that a written file gets a copy of where torch has no operation of Caffe's meaning.

Each stands alone: it may use `torch`, `F` (torch.nn.functional) and `Tensor` only, as its source is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Pair = tuple[int, int]


def windows(extent: int, kernel: int, stride: int, pad: int, floor: bool, clip: bool) -> tuple[int, int]:
    """How many windows Caffe pools along an axis, and how many elements are missing after it for the last one."""
    span = extent + 2 * pad - kernel
    count = (span // stride if floor else -(-span // stride)) + 1
    if clip and (count - 1) * stride >= extent + pad:
        count -= 1
    return count, max(0, (count - 1) * stride + kernel - extent - pad)


def max_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> Tensor:
    """Caffe's maximum pooling: windows are rounded up, and a last one may lie outside."""
    clip = max(pad) > 0
    (_, below), (_, right) = (windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1))
    padded = F.pad(x, (pad[1], right, pad[0], below), value=max(-3.4028234663852886e38, torch.finfo(x.dtype).min))
    return F.max_pool2d(padded, kernel, stride)


def average_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> Tensor:
    """Caffe's average pooling: padding counts, what lies beyond it does not."""
    clip = max(pad) > 0
    sizes = [windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1)]
    padded = F.pad(x, (pad[1], sizes[1][1], pad[0], sizes[0][1]))
    total = F.avg_pool2d(padded, kernel, stride, divisor_override=1)
    lengths = []
    for i in (0, 1):
        start = torch.arange(sizes[i][0], device=x.device) * stride[i] - pad[i]
        lengths.append(((start + kernel[i]).clamp(max=x.shape[2 + i] + pad[i]) - start).to(x.dtype))
    return total / (lengths[0].unsqueeze(1) * lengths[1])


def local_response_within(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """Each element by a power of the mean of squares in a square window of its plane."""
    mean = F.avg_pool2d(x.square(), size, stride=1, padding=size // 2, count_include_pad=True)
    return x * (1 + alpha * mean).pow(-beta)


def mean_variance(x: Tensor, axes: list[int], eps: float) -> Tensor:
    """Zero mean and unit deviation over `axes`."""
    centered = x - x.mean(axes, keepdim=True)
    return centered / (centered.square().mean(axes, keepdim=True).sqrt() + eps)


def max_pool_with_mask(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> tuple[Tensor, Tensor]:
    """Caffe's maximum pooling, and where in its plane each maximum stands; -1 for windows that lie outside."""
    clip = max(pad) > 0
    (_, below), (_, right) = (windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1))
    padded = F.pad(x, (pad[1], right, pad[0], below), value=max(-3.4028234663852886e38, torch.finfo(x.dtype).min))
    top, place = F.max_pool2d(padded, kernel, stride, return_indices=True)
    row, column = place // padded.shape[3] - pad[0], place % padded.shape[3] - pad[1]
    inside = (row >= 0) & (row < x.shape[2]) & (column >= 0) & (column < x.shape[3])
    return top, torch.where(inside, row * x.shape[3] + column, -1).float()


def arg_max(x: Tensor, axis: int, count: int) -> tuple[Tensor, Tensor]:
    """Where the `count` largest stand along an axis, and these, the largest first; of equals the last first."""
    values, places = x.float().flip(axis).sort(dim=axis, descending=True, stable=True)
    return (x.shape[axis] - 1 - places.narrow(axis, 0, count)).float(), values.narrow(axis, 0, count)


def lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """New cells and outputs; the last axis of `gates` holds i, f, o and g, `cont` is 0 where a sequence starts."""
    i, f, o, g = gates.chunk(4, -1)
    c = cont.unsqueeze(-1) * f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


def lstm(
    given: Tensor, cont: Tensor, weight: Tensor, h: Tensor | None = None, c: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (t, n, units) and the last states; `given` (t, n, 4 units) is what the inputs add to the gates."""
    h = given.new_zeros(given.shape[1], weight.shape[1]) if h is None else h[0]
    c = torch.zeros_like(h) if c is None else c[0]
    outputs = []
    for step, going_on in zip(given, cont):
        c, h = lstm_unit(c, step + F.linear(h * going_on.unsqueeze(1), weight), going_on)
        outputs.append(h)
    return torch.stack(outputs), h.unsqueeze(0), c.unsqueeze(0)


def rnn(
    given: Tensor, cont: Tensor, weight: Tensor, out: Tensor, bias: Tensor, h: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Outputs (t, n, units) and the last state; `given` (t, n, units) is what the inputs add to the hidden units."""
    h = given.new_zeros(given.shape[1], weight.shape[1]) if h is None else h[0]
    hidden = []
    for step, going_on in zip(given, cont):
        h = (step + F.linear(h * going_on.unsqueeze(1), weight)).tanh()
        hidden.append(h)
    return F.linear(torch.stack(hidden), out, bias).tanh(), h.unsqueeze(0)


def prior_boxes(priors: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes and variances of SSD's priors, each (1, p, 1, 4)."""
    boxes, variances = priors[:1].reshape(2, 1, -1, 1, 4).unbind()
    return boxes, variances


def decode_boxes(codes: Tensor, priors: tuple[Tensor, Tensor], code_type: str, scaled: bool) -> Tensor:
    """The boxes that codes (n, p, k, 4) describe relative to priors."""
    boxes, variances = priors
    codes = codes * variances if scaled else codes
    if code_type == "CORNER":
        return boxes + codes
    sizes = boxes[..., 2:] - boxes[..., :2]
    if code_type == "CORNER_SIZE":
        return boxes + codes * torch.cat((sizes, sizes), -1)
    centers = codes[..., :2] * sizes + (boxes[..., :2] + boxes[..., 2:]) / 2
    halves = codes[..., 2:].exp() * sizes / 2
    return torch.cat((centers - halves, centers + halves), -1)


def move_priors(codes: Tensor, priors: tuple[Tensor, Tensor], code_type: str, scaled: bool) -> tuple[Tensor, Tensor]:
    """The priors moved by RefineDet's first stage."""
    return decode_boxes(codes, priors, code_type, scaled), priors[1]


def skip_priors(scores: Tensor, objectness: Tensor, least: float) -> Tensor:
    """Scores (n, p, c); those of priors without an object are 1 for the first class and 0 for others."""
    empty = F.one_hot(torch.zeros((), dtype=torch.long, device=scores.device), scores.shape[2]).to(scores)
    return torch.where(objectness[..., 1:] < least, empty, scores)


def suppress(boxes: Tensor, threshold: float, eta: float) -> list[int]:
    """Which of the boxes (n, 4), the best first, do not overlap a better one by more than the threshold."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    areas = (sizes[:, 0] * sizes[:, 1]).masked_fill((sizes < 0).any(1), 0)
    low, high = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = (high - low).clamp(min=0).prod(2)
    overlaps = torch.where(common > 0, common / (areas[:, None] + areas - common), 0)
    kept: list[int] = []
    for i in range(len(boxes)):
        if not kept or not bool((overlaps[i, kept] > threshold).any()):
            kept.append(i)
            threshold = threshold * eta if threshold > 0.5 else threshold
    return kept


def detect(
    boxes: Tensor,
    scores: Tensor,
    background: int,
    top: int,
    keep: int,
    threshold: float,
    lowest: float,
    eta: float,
) -> Tensor:
    """SSD's rows [image, label, score, x1, y1, x2, y2] of boxes (n, p, k, 4) and scores (n, p, c)."""
    rows = [scores.new_zeros(0, 7)]
    for image in range(len(scores)):
        found = [scores.new_zeros(0, 7)]
        for label in (c for c in range(scores.shape[2]) if c != background):
            own, places = scores[image, :, label].sort(descending=True, stable=True)
            places = places[own > lowest][: None if top < 0 else top]
            chosen = boxes[image, places, label if boxes.shape[2] > 1 else 0]
            kept = suppress(chosen, threshold, eta)
            head = torch.tensor([image, label], device=scores.device).to(scores).expand(len(kept), 2)
            score = scores[image, places[kept], label][:, None]
            found.append(torch.cat((head, score, chosen[kept].to(scores)), 1))
        of_image = torch.cat(found)
        if 0 <= keep < len(of_image):
            best = of_image[:, 2].sort(descending=True, stable=True)[1][:keep]
            of_image = of_image[best.sort()[0]]
        rows.append(of_image)
    every = torch.cat(rows)
    if not len(every):
        every = scores.new_full((len(scores), 7), -1)
        every[:, 0] = torch.arange(len(scores))
    return every[None, None]


def yolo_boxes(x: Tensor, anchors: Tensor, classes: int, threshold: float, softmax: bool) -> Tensor:
    """Rows (class, score, corners) of the boxes whose best class scores more than a threshold; anchors in cells."""
    h, w = x.shape[2:]
    parts = x.reshape(x.shape[0], len(anchors), -1, h, w).permute(0, 3, 4, 1, 2)
    cells = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).to(x).unsqueeze(2)
    sides = x.new_tensor([w, h])
    center = (parts[..., :2].sigmoid() + cells) / sides
    half = parts[..., 2:4].exp() * (anchors / sides) / 2
    scores = parts[..., 5 : 5 + classes]
    scores = scores.softmax(-1) if softmax else scores.sigmoid()
    best, label = (scores if softmax else scores * parts[..., 4:5].sigmoid()).max(-1, keepdim=True)
    best = best * parts[..., 4:5].sigmoid() if softmax else best
    rows = torch.cat((label.to(x) + 1, best, center - half, center + half), -1)
    return rows[best[..., 0] > threshold]


def yolo_detections(rows: Tensor, threshold: float, images: int) -> Tensor:
    """Rows (0, class, score, corners), best first, without those that overlap a better one; of -1 if there are none."""
    rows = rows[rows[:, 1].sort(descending=True, stable=True)[1]]
    areas = (rows[:, 4:] - rows[:, 2:4]).prod(1)
    alive = rows.new_ones(len(rows), dtype=torch.bool)
    for i in range(len(rows)):
        if alive[i]:
            low = torch.maximum(rows[i, 2:4], rows[i + 1 :, 2:4])
            high = torch.minimum(rows[i, 4:], rows[i + 1 :, 4:])
            common = (high - low).clamp_min(0).prod(1)
            alive[i + 1 :] &= ~(common / (areas[i] + areas[i + 1 :] - common) >= threshold)
    found = F.pad(rows[alive], (1, 0))
    missing = F.pad(torch.arange(0 if len(found) else images).to(rows).unsqueeze(1), (0, 6), value=-1)
    return torch.cat((found, missing)).reshape(1, 1, -1, 7)
