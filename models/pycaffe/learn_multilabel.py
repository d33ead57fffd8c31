"""Learn several properties of the tiles of a photograph at once: data layer and loss are written in Python.

usage: netc run learn_multilabel.py IMAGE ITERATIONS
"""

import json
import sys

import caffe
import numpy as np
from caffe import layers as L


def net(image):
    n = caffe.NetSpec()
    settings = json.dumps(dict(image=image, batch_size=32, size=16))
    n.data, n.label = L.Python(module="multilabel_layers", layer="PhotographTiles", param_str=settings, ntop=2)
    n.conv = L.Convolution(n.data, num_output=16, kernel_size=5, stride=2, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.conv, in_place=True)
    n.score = L.InnerProduct(n.relu, num_output=3, weight_filler=dict(type="xavier"))
    n.loss = L.Python(n.score, n.label, module="multilabel_layers", layer="MultilabelLoss", loss_weight=1)
    return str(n.to_proto())


def main(image, iterations):
    with open("multilabel.prototxt", "w") as file:
        file.write(net(image))
    with open("multilabel_solver.prototxt", "w") as file:
        file.write(
            'train_net: "multilabel.prototxt" type: "Adam" base_lr: 0.002 momentum: 0.9 momentum2: 0.999 '
            'lr_policy: "fixed" random_seed: 5\n'
        )
    solver = caffe.get_solver("multilabel_solver.prototxt")
    right, losses = [], []
    for _ in range(iterations):
        solver.step(1)
        blobs = solver.net.blobs
        right.append(((blobs["score"].data > 0) == (blobs["label"].data > 0.5)).mean(axis=0))
        losses.append(float(blobs["loss"].data[0]))
    shown = ", ".join(f"{share:.3f}" for share in np.mean(right[-10:], axis=0))
    print(f"loss {np.mean(losses[:3]):.3f} to {np.mean(losses[-10:]):.3f}; share of right labels: {shown}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
