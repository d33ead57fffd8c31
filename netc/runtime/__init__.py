"""Graph -> torch: modules, fillers, the straight-line net and the node-by-node executor.

modules.py    one node's torch module: a stock one, or a LayerModule around the layer's function
fillers.py    Caffe's seven fillers
lower.py      Graph -> Net, one module a node
straight.py   the straight-line code over them, ReLUs in place where nobody sees it
fitting.py    whether the layers take the shapes that a net is fed
inference.py  nets made faster for inference: folded, channels-last, compiled
stepper.py    the same nodes one at a time, with gradients, for whoever looks inside
blobs.py      the list of learnable blobs in Caffe's order, apart from torch parameters
"""
