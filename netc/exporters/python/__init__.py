"""A graph as a .py file in plain torch: one nn.Module, its weights in a file next to it, and no import of netc.

    text, state = source_of(graph, "weights.safetensors")

Every identifier is made here, and every name of the net's file is in the source as a repr(): a layer called
`x"); exit(` is a comment and a key, never code.

    rules.py      what a rule is; the rules of `netc/layers/<file>.py` are in `<file>.py`, found automatically
    names.py      identifiers
    functions.py  functions that are copied into files that need them
    source.py     the file
"""

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.exporters.python.source import source_of

__all__ = ["Code", "PythonCall", "source_of", "writes"]
