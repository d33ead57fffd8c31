"""The net that stands in a .caffemodel beside its weights, as prototxt text: for files whose prototxt is lost.

    rebuilt(path, dialect=None) -> Rebuilt (.text .dialect .evidence .skipped .renamed)

Forks gave numbers of LayerParameter to fields of their own, so a file is read in a dialect: a table of what its numbers
mean. It is guessed from the numbers that stand in layers of each type, unless it is told. What no dialect explains is
passed over and counted; nothing that a file says of sizes is believed before the bytes are there.

    numbers.py   what the numbers of a layer's fields mean, by dialect
    layouts.py   what numbers mean in the messages within, and types of the V1 format
    dialects.py  a Dialect, and the guess
    decode.py    bytes -> Parts, within bounds
    parts.py     Parts -> text, and what Caffe adds to a net before it writes it taken out
    rebuild.py   the file
"""

from netc.frontends.caffe.binary.dialects import DIALECTS
from netc.frontends.caffe.binary.rebuild import Rebuilt, rebuilt

__all__ = ["DIALECTS", "Rebuilt", "rebuilt"]
