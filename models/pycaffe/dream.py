"""Gradient ascent on an image, so that an inner blob of a net responds more strongly (DeepDream).

usage: netc run dream.py NET WEIGHTS BLOB STEPS IMAGE

The image may be of any size. Writes `dream.npy`.
"""

import sys

import caffe
import numpy as np

JITTER = 8


def step(net, end, rng, rate=1.5):
    """Move the image along the gradient of half the sum of squares of a blob; return that sum."""
    source, target = net.blobs["data"], net.blobs[end]
    y, x = rng.integers(-JITTER, JITTER + 1, 2)
    source.data[0] = np.roll(source.data[0], (y, x), axis=(1, 2))
    net.forward(end=end)
    objective = float((target.data**2).sum()) / 2
    target.diff[...] = target.data
    net.backward(start=end)
    gradient = source.diff[0]
    source.data[0] += rate / np.abs(gradient).mean() * gradient
    source.data[0] = np.roll(source.data[0], (-y, -x), axis=(1, 2))
    source.data[0] = np.clip(source.data[0], -128, 128)
    return objective


def main(path, weights, end, steps, image):
    with open(path) as file:
        text = file.read()
    with open("dream.prototxt", "w") as file:
        file.write("force_backward: true\n" + text)
    net = caffe.Net("dream.prototxt", weights, caffe.TEST)
    pixels = caffe.io.load_image(image)[:, :, ::-1].transpose(2, 0, 1) * 255 - 128
    net.blobs["data"].reshape(1, *pixels.shape)
    net.blobs["data"].data[0] = pixels
    rng = np.random.default_rng(1)
    objectives = [step(net, end, rng) for _ in range(steps)]
    np.save("dream.npy", net.blobs["data"].data[0] + 128)
    print(f"{end} {net.blobs[end].data.shape}: {objectives[0]:.4g} to {objectives[-1]:.4g}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
