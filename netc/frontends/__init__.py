"""File formats -> Graph: the counterpart of `exporters`.

    read(path), read_net(path), read_solver(path)   the definition in a file; its content selects the front end
    read_plan(path)                                 a Caffe2 plan: nets, and the order in which they run

definition.py    the interface of a definition in any format
state_choice.py  the state that a caller requests, merged with the one in the file
front_end.py     the interface of a front end
reading.py       the registered front ends, and how one is selected
graph_report.py  the diagnostics of building a graph
writing.py       dialects and their encoding, for exporters
caffe/           prototxt text of any version and fork, and the net in a .caffemodel

Only `reading` knows the front ends. Other packages obtain definitions from it and are independent of file formats.
"""

from netc.frontends.definition import PHASES, Definition, NetDefinition, PlanDefinition, SolverDefinition
from netc.frontends.reading import read, read_net, read_plan, read_solver
from netc.frontends.state_choice import TEST_STATE, StateChoice

__all__ = [
    "PHASES",
    "TEST_STATE",
    "Definition",
    "NetDefinition",
    "PlanDefinition",
    "SolverDefinition",
    "StateChoice",
    "read",
    "read_net",
    "read_plan",
    "read_solver",
]
