"""Where in an image is the evidence for a class: the gradient of one class score with respect to the pixels.

usage: netc run saliency.py NET WEIGHTS LAYER IMAGE

LAYER computes the scores (before any softmax). Writes `saliency.npy`, the largest absolute gradient of the channels.
"""

import sys

import caffe
import numpy as np


def main(path, weights, layer, image):
    with open(path) as file:
        text = file.read()
    with open("saliency.prototxt", "w") as file:
        file.write("force_backward: true\n" + text)
    net = caffe.Net("saliency.prototxt", weights, caffe.TEST)
    blob = net.inputs[0]
    net.blobs[blob].reshape(1, *net.blobs[blob].shape[1:])
    transformer = caffe.io.Transformer({blob: net.blobs[blob].data.shape})
    transformer.set_transpose(blob, (2, 0, 1))
    color = net.blobs[blob].channels == 3
    net.blobs[blob].data[...] = transformer.preprocess(blob, caffe.io.load_image(image, color))
    scores = net.forward(end=layer)[layer]
    best = int(scores[0].argmax())
    net.blobs[layer].diff[...] = 0
    net.blobs[layer].diff[0, best] = 1
    gradient = net.backward(start=layer)[blob]
    np.save("saliency.npy", np.abs(gradient[0]).max(axis=0))
    np.save("gradient.npy", gradient[0])
    print(f"class {best}, score {scores[0, best]:.3f}, largest gradient {np.abs(gradient).max():.4g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
