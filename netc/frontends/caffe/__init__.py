"""Caffe's prototxt -> Graph.

front_end.py   the front end: text, and the net in a .caffemodel
read.py        a file -> Fields of NetParameter or SolverParameter, each with its position
file_kind.py   files that are neither a net nor a solver of Caffe's, such as single layers
upgrade/       old formats -> the format of Caffe 1.0
forks/         fields, values and layer types that forks of Caffe added: which fork, and how they are read
phase.py       which layers belong to the net of a state
definition.py  nets and solvers, as definitions
build.py       NetParameter -> Graph
sharing.py     learning rates of shared parameters
origin.py      the origin of a node: its LayerParameter
files.py       the files that a layer refers to
binary/        the net in a .caffemodel -> prototxt text
"""
