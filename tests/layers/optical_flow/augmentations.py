"""FlowNet2's augmentations in NumPy, element by element, as its kernels compute them."""

from __future__ import annotations

import math

import numpy as np

ORDER = """
    mirror dx dy angle zoom_x zoom_y gamma brightness contrast color1 color2 color3
    pow_nomean0 pow_nomean1 pow_nomean2 add_nomean0 add_nomean1 add_nomean2 mult_nomean0 mult_nomean1 mult_nomean2
    pow_withmean0 pow_withmean1 pow_withmean2 add_withmean0 add_withmean1 add_withmean2
    mult_withmean0 mult_withmean1 mult_withmean2 lmult_pow lmult_add lmult_mult col_angle
    fog_amount fog_size motion_blur_angle motion_blur_size shadow_angle shadow_distance shadow_strength noise
""".split()
"""The fields of AugmentationCoeff as `caffe.proto` declares them."""
ONES = """
    zoom_x zoom_y gamma contrast color1 color2 color3 pow_nomean0 pow_nomean1 pow_nomean2 mult_nomean0 mult_nomean1
    mult_nomean2 pow_withmean0 pow_withmean1 pow_withmean2 mult_withmean0 mult_withmean1 mult_withmean2 lmult_pow
    lmult_mult
""".split()
VECTORS = (0.51, 0.56, 0.65, 0.79, 0.01, -0.62, 0.35, -0.83, 0.44)


def array(*items: dict[str, float]) -> np.ndarray:
    """The blob of coefficients of some items."""
    found = np.zeros((len(items), len(ORDER), 1, 1))
    for row, item in enumerate(items):
        for name, value in item.items():
            found[row, ORDER.index(name)] = math.log(value) if name in ONES else value
    return found


def items_of(blob: np.ndarray, tidy: bool = True) -> list[dict[str, float]]:
    """The coefficients of each item of a blob."""
    found = []
    for row in blob.reshape(len(blob), -1):
        item = {name: math.exp(value) if name in ONES else float(value) for name, value in zip(ORDER, row)}
        for name, value in item.items():
            default = 1.0 if name in ONES else 0.0
            if tidy and abs(value - default) < 1e-3:
                item[name] = default
        found.append(item)
    return found


def matrix(item, width, height, image_width, image_height):
    """The transformation from the crop to the image: x t0 + y t2 + t4, x t1 + y t3 + t5."""
    t = np.eye(3)

    def left(u0, u1, u2, u3, u4, u5):
        nonlocal t
        t = np.array([[u0, u2, u4], [u1, u3, u5], [0, 0, 1]]) @ t

    if item["mirror"]:
        left(-1, 0, 0, 1, 0.5 * width, -0.5 * height)
    else:
        left(1, 0, 0, 1, -0.5 * width, -0.5 * height)
    a = item["angle"]
    left(math.cos(a), math.sin(a), -math.sin(a), math.cos(a), 0, 0)
    left(1, 0, 0, 1, item["dx"] * width, item["dy"] * height)
    left(1 / item["zoom_x"], 0, 0, 1 / item["zoom_y"], 0, 0)
    left(1, 0, 0, 1, 0.5 * image_width, 0.5 * image_height)
    return t


def cropped(images, items, height, width):
    n, c, h, w = images.shape
    top = np.zeros((n, c, height, width))
    for i, y, x in np.ndindex(n, height, width):
        across, down, _ = matrix(items[i], width, height, w, h) @ (x, y, 1)
        across, down = max(0, min(across, w - 1.05)), max(0, min(down, h - 1.05))
        left, above = math.floor(across), math.floor(down)
        right, below = min(left + 1, w - 1), min(above + 1, h - 1)
        p, q = across - left, down - above
        top[i, :, y, x] = (
            (1 - p) * (1 - q) * images[i, :, above, left]
            + p * q * images[i, :, below, right]
            + (1 - p) * q * images[i, :, below, left]
            + p * (1 - q) * images[i, :, above, right]
        )
    return top


def power(value, exponent):
    return math.copysign(abs(value) ** exponent, value)


def eigen_augmented(images, top, items, vectors, most):
    matrix = np.array(vectors).reshape(3, 3)
    extent = np.zeros(3)
    mean_color = np.zeros(3)
    for i, y, x in np.ndindex(len(images), *images.shape[2:]):
        extent = np.maximum(extent, abs(matrix @ images[i, :, y, x]))
        mean_color = mean_color + images[i, :, y, x] / images[0, 0].size
    mean_color = mean_color / len(images)
    mean = np.array([m / e if e > 1e-2 else m for m, e in zip(matrix @ mean_color, extent)])
    length = math.sqrt(sum(extent**2))
    result = np.zeros_like(top)
    for i, y, x in np.ndindex(len(top), *top.shape[2:]):
        eig = components(matrix @ (top[i, :, y, x] - mean_color), items[i], extent, mean)
        result[i, :, y, x] = np.clip(matrix.T @ limited(*eig, items[i], extent, length), 0, most)
    return result


def components(eig, c, extent, mean):
    """The components without and with the mean, not yet scaled back; the saturation before and after."""
    for k in range(3):
        if extent[k] > 1e-2:
            eig[k] = power(eig[k] / extent[k], c[f"pow_nomean{k}"])
            eig[k] = (eig[k] + c[f"add_nomean{k}"]) * c[f"mult_nomean{k}"]
    eig = eig + mean
    if extent[0] > 1e-2:
        eig[0] = (power(eig[0], c["pow_withmean0"]) + c["add_withmean0"]) * c["mult_withmean0"]
    s = s1 = math.hypot(eig[1], eig[2])
    if s > 1e-2:
        s1 = max(s1 ** c["pow_withmean1"] + c["add_withmean1"], 0) * c["mult_withmean1"]
    a = c["col_angle"]
    eig[1:] = math.cos(a) * eig[1] - math.sin(a) * eig[2], math.sin(a) * eig[1] + math.cos(a) * eig[2]
    return eig, s, s1


def limited(eig, s, s1, c, extent, length):
    """The components scaled back, with another saturation and length."""
    eig = np.array([part * e if e > 1e-2 else part for part, e in zip(eig, extent)])
    l1 = math.sqrt(sum(eig**2)) / length if length > 1e-2 else 0
    if s > 1e-2:
        eig[1:] = eig[1:] / s * s1
    if length > 1e-2:
        now = math.sqrt(sum(eig**2))
        l1 = max(l1 ** c["lmult_pow"] + c["lmult_add"], 0) * c["lmult_mult"] * length
        if now > 1e-2:
            return np.minimum(eig / now * l1, extent)
    return eig


def contrasted(top, items, most):
    result = np.zeros_like(top)
    for i, y, x in np.ndindex(len(top), *top.shape[2:]):
        c, color = items[i], top[i, :, y, x]
        changed = color * (c["color1"], c["color2"], c["color3"])
        changed = np.clip(changed * (color.sum() / (changed.sum() + 0.01)), 0, 1) ** c["gamma"] + c["brightness"]
        result[i, :, y, x] = np.clip(0.5 + (changed - 0.5) * c["contrast"], 0, most)
    return result


def shaded(top, items, most):
    result = top.copy()
    height, width = top.shape[2:]
    for i, y, x in np.ndindex(len(top), height, width):
        c = items[i]
        across, down = math.cos(c["shadow_angle"]), math.sin(c["shadow_angle"])
        if (x - width // 2) * across + (y - height // 2) * down - c["shadow_distance"] > 0:
            result[i, :, y, x] -= c["shadow_strength"]
    return np.clip(result, 0, most)


def augmented(images, blob, height, width, most=255.0, vectors=VECTORS):
    """The first top of DataAugmentation, without noise and without a mean."""
    items = items_of(blob)
    top = cropped(images, items, height, width)

    def changed(names):
        return any(item[name] != (name in ONES) for item in items for name in names)

    if changed(ORDER[12:34]):
        top = eigen_augmented(images, top, items, vectors, most)
    if changed(ORDER[6:12]):
        top = contrasted(top, items, most)
    if any(item["shadow_strength"] > 0 or item["motion_blur_size"] > 0 for item in items):
        top = shaded(top, items, most)
    return top


def flow_augmented(flow, first, second, height, width):
    n, _, h, w = flow.shape
    top = np.zeros((n, 2, height, width))
    pairs = list(zip(items_of(first, tidy=False), items_of(second, tidy=False)))
    for i, y, x in np.ndindex(n, height, width):
        one, other = (matrix(item, width, height, w, h) for item in pairs[i])
        across, down, _ = one @ (x, y, 1)
        column, row = int(across + 0.5), int(down + 0.5)
        row, column = min(max(row, 0), h - 1), min(max(column, 0), w - 1)
        across, down = across + flow[i, 0, row, column], down + flow[i, 1, row, column]
        across, down, _ = np.linalg.inv(other) @ (across, down, 1)
        top[i, :, y, x] = across - x, down - y
    return top
