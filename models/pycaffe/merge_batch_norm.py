"""Merge BatchNorm and Scale layers into the convolutions before them, in definition and weights.

usage: netc run merge_batch_norm.py NET WEIGHTS MERGED_NET MERGED_WEIGHTS
"""

import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format


def read(path, text):
    net = caffe_pb2.NetParameter()
    if text:
        with open(path) as file:
            text_format.Merge(file.read(), net)
    else:
        with open(path, "rb") as file:
            net.ParseFromString(file.read())
    return net


def normalizations(definition):
    """(convolution, BatchNorm, Scale) for each group of layers in a row."""
    layers = list(definition.layer)
    for conv, norm, scale in zip(layers, layers[1:], layers[2:]):
        if (conv.type, norm.type, scale.type) == ("Convolution", "BatchNorm", "Scale"):
            assert norm.bottom[0] == conv.top[0]
            assert scale.bottom[0] == norm.top[0]
            yield conv, norm, scale


def merge(weights, conv, norm, scale):
    """Write the product of the three layers into the convolution's blobs."""
    arrays = {layer.name: [caffe.io.blobproto_to_array(blob) for blob in layer.blobs] for layer in weights.layer}
    mean, variance, count = arrays[norm.name]
    factor = 1 / count[0] if count[0] else 0
    gamma, beta = arrays[scale.name]
    slope = gamma / np.sqrt(variance * factor + norm.batch_norm_param.eps)
    weight = arrays[conv.name][0]
    bias = arrays[conv.name][1] if conv.convolution_param.bias_term else 0
    merged = [weight * slope.reshape(-1, 1, 1, 1), (bias - mean * factor) * slope + beta]
    (target,) = (layer for layer in weights.layer if layer.name == conv.name)
    del target.blobs[:]
    target.blobs.extend(caffe.io.array_to_blobproto(array) for array in merged)


def main(path, weights_path, merged_path, merged_weights_path):
    definition, weights = read(path, text=True), read(weights_path, text=False)
    removed = set()
    renamed = {}
    for conv, norm, scale in list(normalizations(definition)):
        merge(weights, conv, norm, scale)
        conv.convolution_param.bias_term = True
        renamed[scale.top[0]] = conv.top[0]
        removed |= {norm.name, scale.name}
    for net in (definition, weights):
        kept = [layer for layer in net.layer if layer.name not in removed]
        for layer in kept:
            for names in (layer.bottom, layer.top):
                names[:] = [renamed.get(name, name) for name in names]
        copies = [caffe_pb2.LayerParameter.FromString(layer.SerializeToString()) for layer in kept]
        del net.layer[:]
        net.layer.extend(copies)
    for layer in weights.layer:
        layer.convolution_param.bias_term = layer.type == "Convolution" or layer.convolution_param.bias_term
    with open(merged_path, "w") as file:
        file.write(str(definition))
    with open(merged_weights_path, "wb") as file:
        file.write(weights.SerializeToString())
    print(f"merged {', '.join(sorted(removed))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
