"""Prototxt text: read without loss, changed in place, printed, and turned into messages and back.

    source = read_source("net.prototxt")                   # E001
    tree = parse(source)                                   # E002 to E005, all at once
    tree, errors = parse_with_errors(source)               # the same for a broken file: what can be read, and errors
    message, found = to_message(tree, "caffe.NetParameter")
    print_tree(tree) == source.text                        # until the tree is changed
    from_message(message)                                  # canonical text

Codes:

    E001  the file cannot be read, or is no text
    E002  something else was expected here
    E003  a brace has no partner
    E004  a string has no end, a faulty escape, or bytes that are no UTF-8
    E005  messages nest too deep
    E006  a value is of the wrong kind: a word for a number, a message for a string
    E007  a number is out of its type's range
    E009  a field that holds one value is set twice or as a list, or a required one is missing
    W001  the schema has no field of this name; it stays in the tree and is left out of the message
    W002  a fork of Caffe has this field or value, BVLC's has not
    W003  an enum has no value of this name or number; it stays in the tree, and the field is not set

What is read is what protobuf's own reader accepts, in its stricter C++ form, which Caffe uses: `1_000`, `+1` and
unknown escapes, which the Python one lets pass, are errors, and `- 1` is a number.
"""

from netc.text.convert import to_message
from netc.text.dump import from_message
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
]
