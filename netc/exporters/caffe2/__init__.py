"""A graph as Caffe2's pair of nets: predict_net computes the outputs, init_net fills the parameters.

    model.py   the graph as NetDefs
    rules.py   how a layer is written as operators; the rules are one function a layer type, in files named after
               those of netc/layers

Names follow Caffe2's own translator: the blobs of a layer with the top `T` are `T_w` and `T_b`. What Caffe2 cannot say
is an error: its translator dropped a slope of ReLU, the axis of Softmax and Concat, and the padding that Caffe counts.
"""

from netc.exporters.caffe2.model import Caffe2Model, caffe2_model

__all__ = ["Caffe2Model", "caffe2_model"]
