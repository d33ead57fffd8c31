"""The layer graph: what a net means, free of protobuf and of torch.

fields.py   a message's values as plain Python, with their places in the file
dtypes.py   the types of elements
dims.py     extents, shapes and the unknown extent `?`
filler.py   how a weight starts
layer.py    the contract of a layer type
parameters.py       what a file says of a blob, and the entries of a graph's table
graph.py    Value, Node, Graph
parameter_table.py  makes the table
verify.py   what holds for every graph
shapes.py   infers every shape, reporting all independent errors
cost.py     parameters, multiply-adds and memory of a graph
"""
