"""File formats -> Graph. The mirror of exporters.

    read(path), read_net(path), read_solver(path)   the definition in a file; its content chooses the front end

definition.py   what a definition offers, whatever its format
front_end.py    what a front end offers
reading.py      the registered front ends, and the choice among them
caffe/          prototxt text of any age and fork, and the net in a .caffemodel

Only `reading` knows the front ends: other packages ask it for definitions and know nothing of formats.
"""

from netc.frontends.definition import PHASES, Definition, NetDefinition, SolverDefinition
from netc.frontends.reading import read, read_net, read_solver

__all__ = ["PHASES", "Definition", "NetDefinition", "SolverDefinition", "read", "read_net", "read_solver"]
