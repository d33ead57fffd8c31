"""Caffe's prototxt -> Graph.

read.py    a file -> Fields of NetParameter or SolverParameter, each with its place
forks/     what forks of Caffe have beside BVLC's: whose it is, and what it means here
phase.py   which layers belong to the net that is meant
build.py   NetParameter -> Graph
"""
