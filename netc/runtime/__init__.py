"""Graph -> torch: modules, fillers, the straight-line net and the node-by-node executor.

modules.py          one node's torch module: a stock one, or a LayerModule that calls the layer's function
fillers.py          Caffe's seven fillers, and FlowNet2's
lower.py            Graph -> Net, one module per node
straight_line.py    generated code that runs the modules in order; a ReLU overwrites a bottom that nothing else reads
input_check.py      checks the shapes of a net's inputs by the layers' rules
strings.py          blobs of strings, which tensors do not hold
inference.py        faster nets for inference: folded, channels-last, compiled
node_executor.py    runs the same modules one node at a time, forward and backward
hosted_node.py      a layer written in Python in that executor
memory.py           `data` and `diff` of each blob
python_host.py      runs layers written in Python
array_blobs.py      blobs as NumPy arrays
blobs.py            the list of learnable blobs in Caffe's order, apart from torch parameters
net_weights.py      copies weights by layer name, from and to arrays
"""
