"""A graph as an ONNX model: one operator or a few for each layer, under the net's own names.

    model = onnx_model(graph)       # an OnnxModel, checked; `model.proto()` is an onnx.ModelProto

The batch may be of any size; the other extents are those of the graph, which lets Caffe's pooling windows be written as
plain padding, the same in every runtime.

    rules.py    what a rule is; the rules of `netc/layers/<file>.py` are in `<file>.py`, found automatically
    model.py    the model, and its optional input stage
    model_file.py   writes a model without a copy of its weights
"""

from netc.exporters.onnx.model import onnx_model
from netc.exporters.onnx.rules import OnnxCall, writes

__all__ = ["OnnxCall", "onnx_model", "writes"]
