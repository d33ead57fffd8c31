"""Caffe's forward passes: its layers' loops in plain float64 NumPy, slow, and with nothing of netc in them."""

import itertools
import math

import numpy as np

FLT_MAX = 3.4028234663852886e38


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# ---------------------------------------------------------------- windows


def convolution(x, weight, bias=None, stride=None, pad=None, dilation=None, group=1):
    """x (n, c, *spatial), weight (o, c / group, *kernel)."""
    axes = x.ndim - 2
    stride, pad, dilation = stride or (1,) * axes, pad or (0,) * axes, dilation or (1,) * axes
    kernel = weight.shape[2:]
    out = [
        (e + 2 * p - (d * (k - 1) + 1)) // s + 1 for e, p, d, k, s in zip(x.shape[2:], pad, dilation, kernel, stride)
    ]
    top = np.zeros((x.shape[0], weight.shape[0], *out))
    outs, ins = weight.shape[0] // group, x.shape[1] // group
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, kernel)):
            at = tuple(i * s - p + t * d for i, s, p, t, d in zip(place, stride, pad, tap, dilation))
            if all(0 <= a < e for a, e in zip(at, x.shape[2:])):
                for g in range(group):
                    o, c = slice(g * outs, (g + 1) * outs), slice(g * ins, (g + 1) * ins)
                    top[(slice(None), o, *place)] += x[(slice(None), c, *at)] @ weight[(o, slice(None), *tap)].T
    return top if bias is None else top + bias.reshape(-1, *[1] * axes)


def deconvolution(x, weight, bias=None, stride=None, pad=None, dilation=None, group=1):
    """x (n, c, *spatial), weight (c, o / group, *kernel)."""
    axes = x.ndim - 2
    stride, pad, dilation = stride or (1,) * axes, pad or (0,) * axes, dilation or (1,) * axes
    kernel = weight.shape[2:]
    out = [s * (e - 1) + d * (k - 1) + 1 - 2 * p for e, p, d, k, s in zip(x.shape[2:], pad, dilation, kernel, stride)]
    outs, ins = weight.shape[1], x.shape[1] // group
    top = np.zeros((x.shape[0], outs * group, *out))
    for place in itertools.product(*map(range, x.shape[2:])):
        for tap in itertools.product(*map(range, kernel)):
            at = tuple(i * s - p + t * d for i, s, p, t, d in zip(place, stride, pad, tap, dilation))
            if all(0 <= a < e for a, e in zip(at, out)):
                for g in range(group):
                    o, c = slice(g * outs, (g + 1) * outs), slice(g * ins, (g + 1) * ins)
                    top[(slice(None), o, *at)] += x[(slice(None), c, *place)] @ weight[(c, slice(None), *tap)]
    return top if bias is None else top + bias.reshape(-1, *[1] * axes)


def pooling(x, method, kernel, stride=(1, 1), pad=(0, 0), floor=False):
    """The top and the mask."""
    rounded = math.floor if floor else math.ceil
    out = [rounded((e + 2 * p - k) / s) + 1 for e, p, k, s in zip(x.shape[2:], pad, kernel, stride)]
    if any(pad):
        out = [o - ((o - 1) * s >= e + p) for o, s, e, p in zip(out, stride, x.shape[2:], pad)]
    top, mask = np.zeros((*x.shape[:2], *out)), -np.ones((*x.shape[:2], *out))
    height, width = x.shape[2:]
    for n, c, ph, pw in itertools.product(*map(range, top.shape)):
        h0, w0 = ph * stride[0] - pad[0], pw * stride[1] - pad[1]
        if method == "MAX":
            h1, w1 = min(h0 + kernel[0], height), min(w0 + kernel[1], width)
            best, where = -FLT_MAX, -1
            for h, w in itertools.product(range(max(h0, 0), h1), range(max(w0, 0), w1)):
                if x[n, c, h, w] > best:
                    best, where = x[n, c, h, w], h * width + w
            top[n, c, ph, pw], mask[n, c, ph, pw] = best, where
        else:
            h1, w1 = min(h0 + kernel[0], height + pad[0]), min(w0 + kernel[1], width + pad[1])
            size = (h1 - h0) * (w1 - w0)
            window = x[n, c, max(h0, 0) : min(h1, height), max(w0, 0) : min(w1, width)]
            top[n, c, ph, pw] = window.sum() / size
    return top, mask


def pyramid(x, levels, method):
    parts = []
    for bins in (2**level for level in range(levels)):
        kernel = [math.ceil(e / bins) for e in x.shape[2:]]
        pad = [(k * bins - e + 1) // 2 for k, e in zip(kernel, x.shape[2:])]
        parts.append(pooling(x, method, kernel, kernel, pad)[0])
    return parts[0] if levels == 1 else np.concatenate([p.reshape(len(x), -1) for p in parts], 1)


def im2col(x, kernel, stride, pad, dilation):
    """(n, c, h, w)."""
    out = [
        (e + 2 * p - (d * (k - 1) + 1)) // s + 1 for e, p, d, k, s in zip(x.shape[2:], pad, dilation, kernel, stride)
    ]
    top = np.zeros((x.shape[0], x.shape[1] * math.prod(kernel), *out))
    for c, kh, kw, oh, ow in itertools.product(range(x.shape[1]), *map(range, kernel), *map(range, out)):
        h, w = oh * stride[0] - pad[0] + kh * dilation[0], ow * stride[1] - pad[1] + kw * dilation[1]
        if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
            top[:, (c * kernel[0] + kh) * kernel[1] + kw, oh, ow] = x[:, c, h, w]
    return top


# ---------------------------------------------------------------- normalization


def lrn(x, size, alpha, beta, k=1.0, within=False):
    if within:
        half = (size - 1) // 2
        mean = pooling(x * x, "AVE", (size, size), (1, 1), (half, half))[0]
        return x * (1 + alpha * mean) ** -beta
    scale = np.full_like(x, k)
    for c in range(x.shape[1]):
        low, high = max(0, c - (size - 1) // 2), min(x.shape[1], c + (size - 1) // 2 + 1)
        scale[:, c] += alpha / size * (x[:, low:high] ** 2).sum(1)
    return x * scale**-beta


def mvn(x, variance=True, across=False, eps=1e-9):
    rows = x.reshape(x.shape[0] * (1 if across else x.shape[1] if x.ndim > 1 else 1), -1)
    rows = rows - rows.mean(1, keepdims=True)
    if variance:
        rows = rows / (np.sqrt((rows**2).mean(1, keepdims=True)) + eps)
    return rows.reshape(*x.shape, *[1] * (4 - x.ndim))


def batch_norm(x, mean=None, variance=None, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    if mean is None:
        mean = x.mean(axes)
        variance = ((x - mean.reshape(shape)) ** 2).mean(axes)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)


# ---------------------------------------------------------------- losses


def normalizer(mode, outer, inner, valid):
    return max(1, {"FULL": outer * inner, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode])


def places(scores, labels, axis):
    """Each place's scores and label."""
    axis %= scores.ndim
    flat = np.moveaxis(scores, axis, -1).reshape(-1, scores.shape[axis])
    return (
        zip(flat, labels.reshape(-1).astype(int)),
        math.prod(scores.shape[:axis]),
        math.prod(scores.shape[axis + 1 :]),
    )


def softmax_loss(scores, labels, axis=1, ignore=None, mode="VALID", matrix=None, floor=1.1754943508222875e-38):
    pairs, outer, inner = places(softmax(scores, axis), labels, axis)
    total = valid = 0
    for probability, label in pairs:
        if label != ignore:
            logs = np.log(np.maximum(probability, floor))
            total -= logs[label] if matrix is None else matrix[label] @ logs
            valid += 1
    return total / normalizer(mode, outer, inner, valid)


def sigmoid_loss(scores, targets, ignore=None, mode="BATCH_SIZE"):
    total = valid = 0
    for x, t in zip(scores.reshape(-1), targets.reshape(-1)):
        if int(t) != ignore:
            total -= x * (t - (x >= 0)) - np.log(1 + np.exp(x - 2 * x * (x >= 0)))
            valid += 1
    return total / normalizer(mode, len(scores), scores.size // len(scores), valid)


def accuracy(scores, labels, axis=1, top_k=1, ignore=None):
    pairs, _, _ = places(scores, labels, axis)
    classes = scores.shape[axis]
    hits, counts = np.zeros(classes), np.zeros(classes)
    for values, label in pairs:
        if label != ignore:
            counts[label] += 1
            hits[label] += (values >= values[label]).sum() - 1 < top_k
    return hits.sum() / max(1, counts.sum()), hits / np.maximum(counts, 1)


def hinge(scores, labels, l2=False):
    rows = scores.reshape(len(scores), -1).copy()
    for row, label in zip(rows, labels.reshape(-1).astype(int)):
        row[label] *= -1
    margins = np.maximum(0, 1 + rows)
    return ((margins**2).sum() if l2 else margins.sum()) / len(scores)


def contrastive(a, b, similar, margin=1.0, legacy=False):
    total = 0
    for x, y, s in zip(a.reshape(len(a), -1), b.reshape(len(a), -1), similar.reshape(-1)):
        squared = ((x - y) ** 2).sum()
        if int(s):
            total += squared
        elif legacy:
            total += max(margin - squared, 0)
        else:
            total += max(margin - np.sqrt(squared), 0) ** 2
    return total / len(a) / 2


# ---------------------------------------------------------------- recurrent


def lstm(x, cont, wx, b, wh, h, c, static=None):
    """Outputs of all steps, and the last states; `static` is the product of the static input with its weights."""
    outputs, units = [], h.shape[1]
    for t in range(len(x)):
        going = cont[t][:, None]
        gates = x[t].reshape(len(h), -1) @ wx.T + b + (going * h) @ wh.T + (0 if static is None else static)
        i, f, o = (sigmoid(gates[:, k * units : (k + 1) * units]) for k in range(3))
        c = going * f * c + i * np.tanh(gates[:, 3 * units :])
        h = o * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), h, c


def rnn(x, cont, wx, b, wh, wo, bo, h, static=None):
    outputs = []
    for t in range(len(x)):
        given = x[t].reshape(len(h), -1) @ wx.T + b + (0 if static is None else static)
        h = np.tanh(given + (cont[t][:, None] * h) @ wh.T)
        outputs.append(np.tanh(h @ wo.T + bo))
    return np.stack(outputs), h
