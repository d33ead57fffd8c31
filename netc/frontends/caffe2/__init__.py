"""Caffe2's front end: NetDefs, as text and binary.

    reading.py      a file -> operators, each with its place
    predictor.py    the nets of a MetaNetDef, alone or in a minidb with the parameters
    definition.py   a NetDef as a NetDefinition
    build.py        operators -> Graph: blob names are storage, resolved in order
    training_net.py a training net -> its forward operators and updates; autograd computes the gradients
    libraries.py    which library registered an operator that Caffe2 lacks
    origin.py       the origin of a node that an operator describes

Codes:

    E010  an unknown operator type
    E011  an input that nothing produces
    E023  an operator that cannot compute in place
    E101  a missing argument, or one that is set twice with different values
    E107  an element type that an operator does not accept
    W041  operators that the file places on another device
"""
