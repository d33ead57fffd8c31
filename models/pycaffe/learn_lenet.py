"""Learn LeNet on handwritten digits: nets written in Python, a solver stepped by hand.

usage: netc run learn_lenet.py TRAIN_LMDB TEST_LMDB ITERATIONS FOLDER
"""

import os
import sys

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2


def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source=lmdb, backend=P.Data.LMDB, batch_size=batch_size, transform_param=dict(scale=1.0 / 256), ntop=2
    )
    bottom = n.data
    for number, channels in ((1, 20), (2, 50)):
        conv = L.Convolution(bottom, kernel_size=5, num_output=channels, weight_filler=dict(type="xavier"))
        n[f"conv{number}"] = conv
        n[f"pool{number}"] = bottom = L.Pooling(conv, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(bottom, num_output=500, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def main(train_lmdb, test_lmdb, iterations, folder):
    nets = {"train": lenet(train_lmdb, 64), "test": lenet(test_lmdb, 60)}
    for name, net in nets.items():
        with open(os.path.join(folder, f"{name}.prototxt"), "w") as file:
            file.write(str(net))
    settings = caffe_pb2.SolverParameter(
        train_net=os.path.join(folder, "train.prototxt"),
        test_net=[os.path.join(folder, "test.prototxt")],
        test_iter=[6],
        test_interval=10**6,
        test_initialization=False,
        base_lr=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        lr_policy="inv",
        gamma=1e-4,
        power=0.75,
        max_iter=10**6,
        random_seed=1701,
    )
    path = os.path.join(folder, "solver.prototxt")
    with open(path, "w") as file:
        file.write(str(settings))

    caffe.set_mode_cpu()
    solver = caffe.get_solver(path)
    losses = []
    for _ in range(iterations):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    (test,) = solver.test_nets
    correct = count = 0
    for _ in range(6):
        test.forward()
        labels = test.blobs["label"].data
        correct += int((test.blobs["ip2"].data.argmax(axis=1) == labels).sum())
        count += len(labels)
    solver.net.save(os.path.join(folder, "lenet.caffemodel"))
    print(f"loss {np.mean(losses[:5]):.3f} to {np.mean(losses[-5:]):.3f}, accuracy {correct / count:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
