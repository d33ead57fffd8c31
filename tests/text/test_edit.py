"""Changed trees: what was not touched stays as it was, what is new fits in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import Source
from netc.text import Field, Message, Scalar, parse, print_tree
from tests.text.test_parse import plain

NET = """\
# LeNet, by hand
name: "LeNet"   # short

# the data
layers {  # first
  name: "data"
  type: DATA   # from a database
  top: "data"; top: "label"

  # how many
  data_param { batch_size: 64 }
}
"""


def edited(text, edit):
    tree = parse(Source("net", text))
    edit(tree.root)
    printed = print_tree(tree)
    assert plain(parse(Source("again", printed)).root) == plain(tree.root)
    return printed


def layer(root):
    return root.messages("layers")[0]


def test_rename_and_respell():
    def edit(root):
        root.named("layers")[0].name = "layer"
        layer_ = root.messages("layer")[0]
        layer_.get("type")[0].raw = '"Data"'
        layer_.messages("data_param")[0].get("batch_size")[0].raw = "128"

    expected = NET.replace("layers {", "layer {").replace("DATA", '"Data"').replace("64", "128")
    assert edited(NET, edit) == expected


def test_remove_takes_the_comments_that_belong_to_a_field():
    def edit(root):
        layer(root).remove(layer(root).named("data_param")[0])
        layer(root).remove(layer(root).named("type")[0])

    assert edited(NET, edit) == NET.replace("  type: DATA   # from a database\n", "").replace(
        "\n  # how many\n  data_param { batch_size: 64 }\n", ""
    )


def test_comments_at_the_top_or_separate_are_kept_if_a_field_is_removed():
    assert edited("# licence\na: 1\nb: 2\n", lambda r: r.remove(r.fields[0])) == "# licence\nb: 2\n"
    text = "a: 1\n\n# chapter\n\n# of b\nb: 2\nc: 3\n"
    assert edited(text, lambda r: r.remove(r.fields[1])) == "a: 1\n\n# chapter\n\nc: 3\n"
    assert edited("# licence\na: 1\n", lambda r: r.remove(r.fields[0])) == "# licence\n"
    assert edited(
        "m {\n  a: 1\n\n  # end\n\n  b: 2\n}\n", lambda r: r.messages("m")[0].remove(r.messages("m")[0].fields[1])
    ) == ("m {\n  a: 1\n\n  # end\n}\n")


def test_remove_the_only_and_the_first_field():
    assert edited("a: 1\nb: 2\n", lambda r: r.remove(r.fields[0])) == "b: 2\n"
    assert edited("m { a: 1 b: 2 }\n", lambda r: r.messages("m")[0].fields.pop(0)) == "m { b: 2 }\n"
    assert edited("m {\n  a: 1\n}\n", lambda r: r.messages("m")[0].fields.clear()) == "m {\n}\n"
    assert edited("a: 1\n", lambda r: r.fields.clear()) == "\n"


def test_new_fields_use_the_indentation_of_their_position():
    def edit(root):
        inner = layer(root)
        inner.append("include", Message([Field("phase", [Scalar("TRAIN")])]))
        inner.insert(1, "loss_weight", Scalar.of(0.5))
        inner.messages("data_param")[0].append("backend", Scalar("LMDB"))
        root.append("state", Message())

    assert edited(NET, edit) == (
        NET.replace('  type: DATA', '  loss_weight: 0.5\n  type: DATA')
        .replace("64 }\n", "64 backend: LMDB }\n  include {\n    phase: TRAIN\n  }\n")
        .removesuffix("\n")
        + "\nstate {\n}\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m {}\n", "m {\n  a: 1\n}\n"),
        ("m {\n}\n", "m {\n  a: 1\n}\n"),
        ("m {  # note\n}\n", "m {  # note\n  a: 1\n}\n"),
        ("m { b: 2 }", "m { b: 2 a: 1 }"),
        ("m { b: 2 # two\n}", "m { b: 2 # two\n  a: 1\n}"),
        ("m {\n\tb: 2\n}\n", "m {\n\tb: 2\n\ta: 1\n}\n"),
        ("m {\r\n    b: 2\r\n}\r\n", "m {\r\n    b: 2\r\n    a: 1\r\n}\r\n"),
        ("m{b:2}", "m{b:2 a: 1}"),
        ("m {\n  b: 2\n\n  # last words\n}\n", "m {\n  b: 2\n  a: 1\n\n  # last words\n}\n"),
    ],
)
def test_append(text, expected):
    assert edited(text, lambda root: root.messages("m")[0].append("a", Scalar("1"))) == expected


def test_insert_at_the_start_of_a_file():
    assert edited("b: 2\n", lambda root: root.insert(0, "a", Scalar("1"))) == "a: 1\nb: 2\n"
    assert edited("", lambda root: root.insert(0, "a", Scalar("1"))) == "a: 1"
    assert edited("# only\n", lambda root: root.append("a", Scalar("1"))) in ("a: 1\n# only\n", "# only\na: 1\n")


def test_replace_takes_over_the_comments():
    def edit(root):
        inner = layer(root)
        inner.replace(inner.named("type")[0], Field("type", [Scalar.of("Data")]), Field("phase", [Scalar("TEST")]))

    assert edited(NET, edit) == NET.replace("type: DATA   # from", 'type: "Data"\n  phase: TEST   # from')


def test_wrap_and_unwrap_shift_the_lines():
    def wrap(root):
        field = root.named("layers")[0]
        inner = field.value
        root.replace(field, Field("layers", [Message([Field("layer", [inner])])]))

    text = "layers {\n  name: 'a'\n  # deep\n  m {\n    x: 1\n  }\n}\n"
    wrapped = "layers {\n  layer {\n    name: 'a'\n    # deep\n    m {\n      x: 1\n    }\n  }\n}\n"
    assert edited(text, wrap) == wrapped

    def unwrap(root):
        outer = root.named("layers")[0]
        outer.values = [outer.value.messages("layer")[0]]

    assert edited(wrapped, unwrap) == text


def test_move_a_field_with_its_comment():
    def edit(root):
        inner = layer(root)
        moved = inner.named("data_param")[0].value.fields.pop()
        inner.fields.insert(0, moved)
        root.fields.append(inner.fields.pop(2))

    printed = edited(NET, edit)
    assert "layers {  # first\n  batch_size: 64\n  name" in printed
    assert printed.endswith("data_param { }\n}\ntype: DATA   # from a database\n")


def test_lists():
    def change(edit):
        return edited("a: [1, # one\n  2 , 3] b: 4\n", lambda root: edit(root.fields[0].values))

    assert change(lambda v: v.append(Scalar("9"))) == "a: [1, # one\n  2 , 3, 9] b: 4\n"
    assert change(lambda v: v.pop(1)) == "a: [1, 3] b: 4\n"
    assert change(lambda v: v.pop(0)) == "a: [2 , 3] b: 4\n"
    assert change(lambda v: v.clear()) == "a: [] b: 4\n"
    assert edited("a: []", lambda root: root.fields[0].values.append(Scalar("1"))) == "a: [1]"
    assert edited("a: 1", lambda root: root.fields[0].values.append(Scalar("2"))) == "a: [1, 2]"


def test_a_value_may_change_its_type():
    def message(root):
        root.fields[0].values = [Message([Field("x", [Scalar("1")])])]

    def scalar(root):
        root.fields[0].values = [Scalar("1")]

    assert edited("  a: 2 # c\n", message) == "  a: {\n    x: 1\n  } # c\n"
    assert edited("a { b: 2 } # c\n", scalar) == "a: 1 # c\n"


def test_tokens_that_would_merge_are_separated():
    assert edited("a:'x'b:'y'", lambda root: setattr(root.fields[0].value, "raw", "1")) == "a:1 b:'y'"
    assert edited("m{a:1 # c\n}", lambda root: root.messages("m")[0].fields.append(Field("b", [Scalar("2")])))


names = st.sampled_from(["a", "b", "m"])
edits = st.lists(
    st.tuples(st.sampled_from(["rename", "raw", "remove", "append", "insert", "move", "wrap"]), st.integers(0, 99))
)
sources = st.sampled_from([
    NET, "a:'x'b:'y'm{a:1}", "m { a: 1 # c\n}", "a: [1, {x: 1} # c\n, <y: 'z' 'w'>] ; b: 2",
    "m { m { m { a: 1 } } } # end",
    "\ufeff# top\r\nm {\r\n\ta: 1,\r\n\r\n\t# apart\r\n\r\n\tb: 2;\r\n}\r\n", "", "# only", "m: <\n >\n;\na: 1;",
])  # fmt: skip


@given(sources, edits)
def test_any_edit_prints_text_that_reads_as_the_tree(text, steps):
    tree = parse(Source("net", text))
    for step, number in steps:
        places = list(tree.root.walk())
        messages = [tree.root, *(v for _, f in places for v in f.values if isinstance(v, Message))]
        target = messages[number % len(messages)]
        message, field = places[number % len(places)] if places else (None, None)
        if step == "append":
            target.append("new", Scalar(str(number)))
        elif step == "insert":
            target.insert(0, "new", Message([Field("x", [Scalar("X")])]))
        elif field is None:
            continue
        elif step == "rename":
            field.name = "renamed"
        elif step == "raw" and isinstance(field.values[:1], list) and field.values and isinstance(field.value, Scalar):
            field.value.raw = "7"
        elif step == "remove":
            message.remove(field)
        elif step == "wrap":
            message.replace(field, Field("wrap", [Message([field])]))
        elif step == "move":
            message.fields.remove(field)
            tree.root.fields.append(field)
    printed = print_tree(tree)
    assert plain(parse(Source("again", printed)).root) == plain(tree.root)
