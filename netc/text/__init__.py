"""Prototxt text: lossless parsing, in-place editing, printing, and conversion to and from messages.

    source = read_source("net.prototxt")                   # E001
    tree = parse(source)                                   # E002 to E005, all errors in one run
    tree, errors = parse_with_errors(source)               # for an invalid file: a partial tree and the errors
    message, diagnostics = to_message(tree, "caffe.NetParameter")
    print_tree(tree) == source.text                        # for an unmodified tree
    from_message(message)                                  # canonical text

Codes:

    E001  the file cannot be read or is not text
    E002  unexpected token
    E003  unmatched brace
    E004  an unterminated string, an invalid escape sequence, or invalid UTF-8
    E005  messages are nested too deeply
    E006  a value has the wrong type: a word for a number, a message for a string
    E007  a number is out of range for its type
    E009  a singular field is set twice or as a list, or a required field is missing
    W001  unknown field; it stays in the tree and is left out of the message
    W002  a field or value that a fork of Caffe has and BVLC's does not
    W003  unknown enum name or number; it stays in the tree, and the field is not set
    W004  a value of another type, or several, in a field that forks define differently

The grammar is that of protobuf's C++ parser, which Caffe uses. It is stricter than the Python parser: `1_000`, `+1` and
unknown escapes are errors, and `- 1` is a number.
"""

from netc.text.convert import to_message
from netc.text.dump import from_message
from netc.text.literals import with_slashes
from netc.text.parser import MAX_DEPTH, parse, parse_with_errors
from netc.text.printer import print_tree
from netc.text.reading import MAX_BYTES, read_source
from netc.text.tree import Field, Message, Scalar, Tree

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Field",
    "Message",
    "Scalar",
    "Tree",
    "from_message",
    "parse",
    "parse_with_errors",
    "print_tree",
    "read_source",
    "to_message",
    "with_slashes",
]
