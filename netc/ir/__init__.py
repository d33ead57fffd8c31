"""The layer graph: what a net means, free of protobuf and of torch.

fields.py   a message's values as plain Python, with their places in the file
dims.py     extents, shapes and the unknown extent `?`
filler.py   how a weight starts
layer.py    the contract of a layer type
graph.py    Value, Node, Graph
verify.py   what holds for every graph
shapes.py   infers every shape, reporting all independent errors
cost.py     parameters, multiply-adds and memory of a graph
"""
