"""The net in a .caffemodel as prototxt text, for weights whose prototxt is lost; and the encoding of nets for forks.

    rebuilt(path, dialect=None) -> Rebuilt (.text .dialect .evidence .skipped .blobs)

Forks assigned field numbers of LayerParameter to fields of their own, so a file is read in a dialect: a table of the
meaning of its numbers. Unless specified, it is guessed from the field numbers in layers of each type. Fields unknown to
the dialect are skipped and counted. Sizes in a file are checked against the bytes that are present.

    numbers.py        field numbers of LayerParameter, by dialect
    layouts.py        field numbers of nested messages, and layer types of the V1 format
    dialects.py       a Dialect, and how it is guessed
    decode.py         bytes -> Parts, with bounds
    prototxt_text.py  Parts -> text, without what Caffe adds to a net before writing it
    rebuild.py        a file -> Rebuilt
    encode.py         messages -> bytes in a dialect
"""

from netc.frontends.caffe.binary.dialects import DIALECTS
from netc.frontends.caffe.binary.rebuild import Rebuilt, rebuilt

__all__ = ["DIALECTS", "Rebuilt", "rebuilt"]
