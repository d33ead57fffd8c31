"""A graph with its weights -> other formats: the mirror of the front ends.

caffe.py    prototxt, as BVLC Caffe reads it
python/     a .py in plain torch
onnx/       an ONNX model
steps.py    the order of layers that the last two share
stage.py    the input stage that these two may have
errors.py   what a format has no word for

Each rule of python/ and onnx/ is a function for one layer type. What a rule cannot say is an error that names the layer
and its place; nothing is approximated.

    E801  the format has no word for this layer, or for this parameter of it
    E802  a shape must be known and is not
    E803  the format does not hold this type of number
    E804  two forms of a net have no value in common (netc.conversion)
    E805  a change that a net does not allow (netc.conversion)
    W801  a mean that is not here: no preprocessing is told
    W802  layers that no weights file fills
"""
