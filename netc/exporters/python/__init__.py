"""A graph as a .py file in plain torch: one nn.Module, its weights apart, and no import of netc.

    text, state = source_of(net, "weights.safetensors")

Every identifier is made here, and every word of the net's file stands in the source as a repr(): a layer called
`x"); exit(` is a comment and a key, never code.

    rules.py        what a rule is; stock.py, arithmetic.py, shapes.py, choosing.py, recurrent.py hold them
    names.py        identifiers
    functions.py    functions that are copied into files that need them
    source.py       the file
"""

from netc.exporters.python import arithmetic, choosing, recurrent, shapes, stock
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.exporters.python.source import source_of

__all__ = ["Code", "PythonCall", "arithmetic", "choosing", "recurrent", "shapes", "source_of", "stock", "writes"]
