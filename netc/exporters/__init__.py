"""A graph with its weights -> other formats: the mirror of the front ends.

caffe.py             prototxt, as BVLC Caffe or a fork reads it
python/              a .py in plain torch
onnx/                an ONNX model
registry.py          which rule writes which layer type
trace.py             the general path: a layer without a rule, as ATen operators
symbolic_shapes.py   which extents are free when a model runs, and their names
input_stage.py       the input stage that .py and ONNX may have
errors.py            errors for what a format cannot express

Each rule of python/ and onnx/ is a function for one layer type, in the file of the name that the type's file has in
`netc/layers`. A rule that cannot express a layer raises E801, and the general path is tried. What that cannot express
either is an error that names the layer and its line; nothing is approximated.

    E801  the format cannot express this layer, or this parameter of it
    E802  a shape must be known and is not
    E803  the format does not hold this type of element
    E804  two forms of a net have no value in common (netc.conversion)
    E805  a change that a net does not allow (netc.conversion)
    W801  a mean file that is missing: the preprocessing is not written
    W802  layers that no weights file fills
"""
