"""The canonical layout: readable, equal to what was read, and its own canonical layout."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.rewriting import fmt
from netc.text import Message, parse
from tests.text.test_parse import TOKENS

MESSY = """\
\ufeff

# LeNet
#   by hand

name:"LeNet";# short


layers<name:'a',top:"x"  # tail
 top : "y"
# last of all

>
layer: { # head
\ttype:"ReLU"   param { lr_mult: 1 } # one
  dim:[1,2
   ,3]   # list
  empty { }
  text: "a"  # first
     'b'

  # between
  number: - 1  }
m: [ { a: 1 }, # x
  { } ] ;
[x. y] { }
# end
"""

NEAT = """\
# LeNet
#   by hand

name: "LeNet"  # short

layers {
  name: 'a'
  top: "x"  # tail
  top: "y"
  # last of all
}
layer {  # head
  type: "ReLU"
  param {
    lr_mult: 1
  }  # one
  dim: [1, 2, 3]  # list
  empty {
  }
  text: "a"
    # first
    'b'

  # between
  number: -1
}
# x
m: [
  {
    a: 1
  },
  {
  }
]
[x. y] {
}
# end
"""


def content(message):
    """A tree without its layout."""
    return [
        (re.sub(r"\s", "", f.name), [content(v) if isinstance(v, Message) else words(v.raw) for v in f.values])
        for f in message.fields
    ]


def words(raw):
    """A scalar without the spaces and comments between adjacent strings."""
    parts = re.findall(r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'#]+""", raw, re.DOTALL)
    return [part for part in parts if not part.startswith("#")]


def test_the_layout():
    assert fmt(MESSY) == NEAT
    assert fmt(NEAT) == NEAT


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ("", ""),
        ("\n\n", ""),
        ("# only", "# only\n"),
        ("a:1", "a: 1\n"),
        ("a: 1\r\n\r\n\r\nb: 2\r\n", "a: 1\n\nb: 2\n"),
        ("a: # why\n 1", "# why\na: 1\n"),
        ("a: []", "a: []\n"),
        ("a: [1 # one\n, 'x' # two\n 'y']", "# one\n# two\na: [1, 'x' 'y']\n"),
        ("m {\n\n\n# c\n\n\n\na: 1\n\n}", "m {\n  # c\n\n  a: 1\n}\n"),
        ("a: 1 # x\n ; # y\nb: 2", "a: 1  # x\n# y\nb: 2\n"),
        ("m: [{a: 1}, {b: 2}]", "m: [\n  {\n    a: 1\n  },\n  {\n    b: 2\n  }\n]\n"),
    ],
)
def test_cases(text, laid_out):
    assert fmt(text) == laid_out
    assert fmt(laid_out) == laid_out


def test_stray_bytes_are_kept():
    assert fmt("a:'\udcff' # \udcfe") == "a: '\udcff'  # \udcfe\n"


def test_files_that_are_not_prototxt():
    with pytest.raises(NetcError) as raised:
        fmt("a: {", "net.prototxt")
    assert (raised.value.diagnostics[0].file, raised.value.diagnostics[0].code) == ("net.prototxt", "E003")


PIECES = [*TOKENS, "a: 1", "m {", "}", "# c\n", "b: [1, 2]", "\n\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
@example("a: 1 # x\n ; # y\n")
@example("m { # h\n # i\n }")
@example("a: 'x' # c\n 'y' # d\n")
@example("m: [{ # h\n }, { # i\n a: 1 # j\n }] # k")
def test_content_comments_and_layout_are_kept(text):
    try:
        tree = parse(Source("net", text))
    except NetcError:
        return
    laid_out = fmt(text)
    again = parse(Source("again", laid_out))
    assert content(again.root) == content(tree.root)
    assert fmt(laid_out) == laid_out
    bare = [re.sub(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", "", one) for one in (text, laid_out)]
    before, after = (sorted(c.rstrip() for c in re.findall(r"#[^\n]*", one)) for one in bare)
    assert before == after
