"""Prune a trained net: set the smallest weights of each layer to zero, and look at the accuracy.

usage: netc run prune.py TRAIN_VAL WEIGHTS SHARE BATCHES

TRAIN_VAL has the outputs `ip2` and `label` in its test phase. Writes `pruned.caffemodel`.
"""

import sys

import caffe
import numpy as np


def accuracy(net, batches):
    right = []
    for _ in range(batches):
        net.forward()
        right += list(net.blobs["ip2"].data.argmax(axis=1) == net.blobs["label"].data)
    return np.mean(right)


def main(path, weights, share, batches):
    net = caffe.Net(path, weights, caffe.TEST)
    before = accuracy(net, batches)
    for name, blobs in net.params.items():
        weight = blobs[0].data
        limit = np.quantile(np.abs(weight), share)
        weight[np.abs(weight) < limit] = 0
        print(f"{name}: {np.mean(weight == 0):.3f} of {weight.size} weights are zero")
    net.save("pruned.caffemodel")
    print(f"accuracy {before:.3f} to {accuracy(net, batches):.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
