"""Fine-tune a LeNet of ten digits to tell even digits from odd ones: only the last layer is new.

usage: netc run fine_tune.py WEIGHTS TRAIN_LMDB ITERATIONS
"""

import sys

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P


def net(lmdb):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source=lmdb, backend=P.Data.LMDB, batch_size=64, transform_param=dict(scale=1.0 / 256), ntop=2
    )
    fixed = dict(lr_mult=0)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, param=[fixed, fixed])
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, param=[fixed, fixed])
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, param=[fixed, fixed])
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.parity = L.InnerProduct(n.relu1, num_output=1, weight_filler=dict(type="gaussian", std=0.01))
    n.odd = L.Python(n.label, module="multilabel_layers", layer="Parity", propagate_down=False)
    n.loss = L.SigmoidCrossEntropyLoss(n.parity, n.odd)
    return str(n.to_proto())


def main(weights, lmdb, iterations):
    with open("parity.prototxt", "w") as file:
        file.write(net(lmdb))
    with open("parity_solver.prototxt", "w") as file:
        file.write('train_net: "parity.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 3\n')
    solver = caffe.SGDSolver("parity_solver.prototxt")
    solver.net.copy_from(weights)
    kept = solver.net.params["conv1"][0].data.copy()
    accuracy = []
    for _ in range(iterations):
        solver.step(1)
        blobs = solver.net.blobs
        accuracy.append(((blobs["parity"].data > 0) == (blobs["odd"].data > 0.5)).mean())
    assert (solver.net.params["conv1"][0].data == kept).all()
    print(f"accuracy {np.mean(accuracy[:2]):.3f} to {np.mean(accuracy[-5:]):.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
