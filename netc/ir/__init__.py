"""The layer graph: the IR of a net, independent of protobuf and torch.

fields.py   a message's values as plain Python, with their positions in the file
dtypes.py   element types
dims.py     extents, shapes and the unknown extent `?`
filler.py   initial values of a weight
layer.py    the interface of a layer type
parameters.py       parameter settings of a file, and the entries of a graph's parameter table
graph.py    Value, Node, Graph
parameter_table.py  builds the table
verify.py   invariants of every graph
shapes.py   infers every shape and reports all independent errors
cost.py     parameters, multiply-adds and memory of a graph
"""
