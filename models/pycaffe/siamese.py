"""Learn an embedding of digits with a siamese net: two branches with shared weights, a contrastive loss.

usage: netc run siamese.py LMDB ITERATIONS
"""

import sys

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P


def branch(n, data, suffix):
    """Add a branch; the layers of both branches have the same parameters by name."""

    def shared(name):
        return [dict(name=f"{name}_w", lr_mult=1), dict(name=f"{name}_b", lr_mult=2)]

    bottom = data
    for name, channels in (("conv1", 20), ("conv2", 50)):
        filler = dict(type="xavier")
        conv = L.Convolution(bottom, num_output=channels, kernel_size=5, weight_filler=filler, param=shared(name))
        n[name + suffix] = conv
        n[name.replace("conv", "pool") + suffix] = bottom = L.Pooling(conv, kernel_size=2, stride=2)
    n["ip1" + suffix] = ip = L.InnerProduct(
        bottom, num_output=100, weight_filler=dict(type="xavier"), param=shared("ip1")
    )
    n["relu1" + suffix] = relu = L.ReLU(ip, in_place=True)
    n["feat" + suffix] = feat = L.InnerProduct(
        relu, num_output=2, weight_filler=dict(type="xavier"), param=shared("feat")
    )
    return feat


def net(lmdb):
    n = caffe.NetSpec()
    n.digits, n.labels = L.Data(
        source=lmdb, backend=P.Data.LMDB, batch_size=64, transform_param=dict(scale=1.0 / 256), ntop=2
    )
    n.data, n.data_p = L.Slice(n.digits, axis=0, ntop=2)
    n.label, n.label_p = L.Slice(n.labels, axis=0, ntop=2)
    n.similar = L.Python(n.label, n.label_p, module="siamese", layer="Similar", propagate_down=[False, False])
    first = branch(n, n.data, "")
    second = branch(n, n.data_p, "_p")
    n.loss = L.ContrastiveLoss(first, second, n.similar, margin=1)
    return str(n.to_proto())


class Similar(caffe.Layer):
    """1 where two labels are equal, otherwise 0."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].count)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data.ravel() == bottom[1].data.ravel()

    def backward(self, top, propagate_down, bottom):
        pass


def main(lmdb, iterations):
    with open("siamese.prototxt", "w") as file:
        file.write(net(lmdb))
    with open("siamese_solver.prototxt", "w") as file:
        file.write(
            'train_net: "siamese.prototxt" type: "Adam" base_lr: 0.001 momentum: 0.9 momentum2: 0.999 '
            'lr_policy: "fixed" random_seed: 2\n'
        )
    solver = caffe.get_solver("siamese_solver.prototxt")
    losses, distances, similar = [], [], []
    for _ in range(iterations):
        solver.step(1)
        blobs = solver.net.blobs
        losses.append(float(blobs["loss"].data))
        distances.append(np.linalg.norm(blobs["feat"].data - blobs["feat_p"].data, axis=1))
        similar.append(blobs["similar"].data > 0)
    params = solver.net.params
    assert all(
        (params[name][0].data == params[name + "_p"][0].data).all() for name in ("conv1", "conv2", "ip1", "feat")
    )
    print(f"loss {np.mean(losses[:3]):.4f} to {np.mean(losses[-10:]):.4f}")
    distances, similar = np.array(distances), np.array(similar)
    for name, chosen in (("equal digits", similar), ("others", ~similar)):
        first, last = (distances[part][chosen[part]].mean() for part in (slice(10), slice(-10, None)))
        print(f"distance of {name} {first:.3f} to {last:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
