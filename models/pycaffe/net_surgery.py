"""Cast the fully connected layers of a trained net to convolutions, and score all windows of a larger image at once.

usage: netc run net_surgery.py NET WEIGHTS SIZE IMAGE

NET is a net for deployment whose last layers are InnerProduct, IMAGE is resized to SIZE x SIZE. Writes
`conv.prototxt`, `conv.caffemodel` and the map of scores, `map.npy`.
"""

import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format


def cast(definition, net, size):
    """The definition with convolutions in place of InnerProduct layers, for images of another size."""
    cast = []
    for layer in definition.layer:
        if layer.type == "Input":
            del layer.input_param.shape[0].dim[:]
            channels = net.blobs[layer.top[0]].channels
            layer.input_param.shape[0].dim.extend([1, channels, size, size])
        if layer.type == "InnerProduct":
            bottom = net.blobs[layer.bottom[0]]
            layer.type = "Convolution"
            layer.convolution_param.num_output = layer.inner_product_param.num_output
            layer.convolution_param.kernel_size.append(bottom.height)
            layer.ClearField("inner_product_param")
            cast.append(layer.name)
    return cast


def main(path, weights, size, image):
    net = caffe.Net(path, weights, caffe.TEST)
    definition = caffe_pb2.NetParameter()
    with open(path) as file:
        text_format.Merge(file.read(), definition)
    names = cast(definition, net, size)
    with open("conv.prototxt", "w") as file:
        file.write(str(definition))

    full = caffe.Net("conv.prototxt", weights_of(weights, names), caffe.TEST)
    for name in names:
        full.params[name][0].data.flat = net.params[name][0].data.flat
        full.params[name][1].data[...] = net.params[name][1].data
    full.save("conv.caffemodel")

    blob = full.inputs[0]
    channels = full.blobs[blob].channels
    transformer = caffe.io.Transformer({blob: full.blobs[blob].data.shape})
    transformer.set_transpose(blob, (2, 0, 1))
    full.blobs[blob].data[...] = transformer.preprocess(blob, caffe.io.load_image(image, color=channels == 3))
    (scores,) = full.forward().values()
    np.save("input.npy", full.blobs[blob].data)
    np.save("map.npy", scores)
    print(f"{names} cast; scores {scores.shape}; classes at each place:\n{scores[0].argmax(axis=0)}")


def weights_of(weights, names):
    """The weights without the layers that are cast, whose shapes no longer fit."""
    model = caffe_pb2.NetParameter()
    with open(weights, "rb") as file:
        model.ParseFromString(file.read())
    for layer in model.layer:
        if layer.name in names:
            layer.ClearField("blobs")
    with open("kept.caffemodel", "wb") as file:
        file.write(model.SerializeToString())
    return "kept.caffemodel"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
