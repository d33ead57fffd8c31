"""Caffe's prototxt -> Graph.

read.py    a file -> Fields of NetParameter or SolverParameter, each with its place
phase.py   which layers belong to the net that is meant
build.py   NetParameter -> Graph
"""
