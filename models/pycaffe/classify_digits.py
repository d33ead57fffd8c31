"""Classify images of digits by the mean over ten crops, and by the center crop.

usage: netc run classify_digits.py NET WEIGHTS IMAGE...
"""

import sys

import caffe
import numpy as np


def main(net, weights, images):
    classifier = caffe.Classifier(net, weights, image_dims=(30, 30), raw_scale=255, input_scale=1 / 256)
    inputs = [caffe.io.load_image(image, color=False) for image in images]
    crops = classifier.predict(inputs, oversample=True)
    center = classifier.predict(inputs, oversample=False)
    for image, ten, one in zip(images, crops, center):
        print(f"{image}: {ten.argmax()} ({ten.max():.3f}), center crop {one.argmax()} ({one.max():.3f})")
    np.save("scores.npy", np.stack([crops, center]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
