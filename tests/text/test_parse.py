"""The grammar, and what the reader says of text outside it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.text import MAX_DEPTH, Message, Scalar, parse, print_tree, read_source


def plain(message):
    """A tree without its places."""
    return [
        (field.name, [plain(v) if isinstance(v, Message) else v.raw for v in field.values]) for field in message.fields
    ]


def read(text):
    return plain(parse(Source("net", text)).root)


def parsed(read):
    """The tree and no findings, or None and the findings, which can be shown."""
    try:
        return parse(read()), ()
    except NetcError as error:
        error.render()
        return None, error.diagnostics


def faults(text):
    with pytest.raises(NetcError) as raised:
        parse(Source("net", text))
    return [f"{d.code} {d.line}:{d.column} {d.message}" for d in raised.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("\ufeffa: 1", [("a", ["1"])]),
        ("# only a comment", []),
        ("a: 1", [("a", ["1"])]),
        ("a:1b:2", None),
        ("a: 1 a: 2;a: 3,a: 4\n;\na: 5", [("a", [n]) for n in "12345"]),
        ("m { }", [("m", [[]])]),
        ("m: < a: 1 >", [("m", [[("a", ["1"])]])]),
        ("m{n{a:x}}", [("m", [[("n", [[("a", ["x"])]])]])]),
        ("m { a: 1 },\nm { };", [("m", [[("a", ["1"])]]), ("m", [[]])]),
        ("a: [1, 2 ,\n3]", [("a", ["1", "2", "3"])]),
        ("a: []", [("a", [])]),
        ("a []", [("a", [])]),
        ("m [{a: 1}, <b: [2]>,\n{}]", [("m", [[("a", ["1"])], [("b", ["2"])], []])]),
        ("m: [{ } # one\n, { }] a: 1", [("m", [[], []]), ("a", ["1"])]),
        ("a: 'it''s'", [("a", ["'it''s'"])]),
        ('a: "x" # one\n  "y"\n"z" b: 1', [("a", ['"x" # one\n  "y"\n"z"']), ("b", ["1"])]),
        (r'a: "\"}\\" b: 1', [("a", [r'"\"}\\"']), ("b", ["1"])]),
        (
            "a: 1. b: .5 c: 1e-3 d: 1.5f e: -inf f: nan",
            [(n, [v]) for n, v in zip("abcdef", ["1.", ".5", "1e-3", "1.5f", "-inf", "nan"])],
        ),
        ("a: - 1 b: 0x1F c: 017", [("a", ["- 1"]), ("b", ["0x1F"]), ("c", ["017"])]),
        ("a # c\n : # d\n 1", [("a", ["1"])]),
        ("m # c\n { a: 1 } # d", [("m", [[("a", ["1"])]])]),
        (
            "[ext.name]: 1 [type.googleapis.com/a.B] { c: 1 }",
            [("[ext.name]", ["1"]), ("[type.googleapis.com/a.B]", [[("c", ["1"])]])],
        ),
        ("a: 1\r\nb: 2\r\n", [("a", ["1"]), ("b", ["2"])]),
        ("a: 1\v\fb: 2", [("a", ["1"]), ("b", ["2"])]),
    ],
)
def test_grammar(text, fields):
    if fields is None:
        assert faults(text)
    else:
        assert read(text) == fields
        assert print_tree(parse(Source("net", text))) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a 1", ["E002 1:3 expected `:` or `{` after `a`"]),
        ("a: 1\nb =2\nc: 3", ["E002 2:3 expected `:` after `b`, found `=`"]),
        ("a:", ["E002 1:3 expected a value, found the end of the file"]),
        ("m { a: }\nb: 1", ["E002 1:8 expected a value, found `}`"]),
        ("a: 1.2.3", ["E002 1:4 expected a value, found `1.2.3`"]),
        ("a: 1,, b: 2", ["E002 1:6 expected a field, found `,`"]),
        ("a: foo-bar", ["E002 1:4 expected a value, found `foo-bar`"]),
        ("3: 1", ["E002 1:1 expected a field, found `3`"]),
        ('"x"', ['E002 1:1 expected a field, found `"x"`']),
        ('a: "x', ['E004 1:4 the string has no closing `"` on its line']),
        ("a: [1, ]", ["E002 1:8 expected a value, found `]`"]),
        ("a: [1 2]", ["E002 1:7 expected `,` or `]`, found `2`"]),
        ("a [1]", ["E002 1:3 expected `:` after `a`"]),
        ("a: [1", ["E002 1:6 expected `,` or `]`, found the end of the file"]),
        ("a: 1 }", ["E003 1:6 unexpected `}`: no message is open here"]),
        ("m { a: 1 >", ["E003 1:10 expected `}`, found `>`"]),
        ("m {\n  a: 1\n", ["E003 1:3 `m` is not closed: missing `}`"]),
        ("a: 1 \x01", ["E002 1:6 expected a field, found `\x01`"]),
        ("é: 1", ["E002 1:1 expected a field, found `é`"]),
        (
            'a: "x\ny: 2\nz 3\n',
            ['E004 1:4 the string has no closing `"` on its line', "E002 3:3 expected `:` or `{` after `z`"],
        ),
    ],
)
def test_errors_with_their_spans(text, found):
    assert faults(text) == found


def test_independent_errors_are_reported_together_one_per_line():
    text = 'layer {\n  name "a"\n  type: = 3 ] ) (\n  top: "b"\n  pool: $\n}\nx: \'y\n'
    assert [fault[:8] for fault in faults(text)] == ["E002 2:8", "E002 3:9", "E002 5:9", "E004 7:4"]


def test_at_most_two_hundred():
    assert len(faults("a 1\n" * 50)) == 50
    assert len(faults("a 1\n" * 300)) == 200


def test_a_missing_brace_is_traced_to_the_message_that_lacks_it():
    text = 'layer {\n  name: "a"\n  pooling_param {\n    pool: MAX\n  }\nlayer {\n  name: "b"\n}\n'
    with pytest.raises(NetcError) as raised:
        parse(Source("net", text))
    (fault,) = raised.value.diagnostics
    assert (fault.code, fault.line) == ("E003", 1)
    assert fault.notes == ("`layer` on line 6 is inside it, but is not indented",)


@pytest.mark.parametrize("opening", ["m {", "m: <", "m [{"])
def test_nesting_is_bounded(opening):
    closing = {"m {": "}", "m: <": ">", "m [{": "}]"}[opening]
    for depth in (MAX_DEPTH, MAX_DEPTH + 1, 200, 20000):
        text = opening * depth + closing * depth
        if depth <= MAX_DEPTH:
            assert print_tree(parse(Source("net", text))) == text
        else:
            assert [fault[:4] for fault in faults(text)] == ["E005"]


def test_spans():
    text = 'layer {\n  bottom: "x"\n  bottom: ["y", "z"]\n  pooling_param { kernel_size: 3 }\n}\n'
    layer = parse(Source("net", text)).root.messages("layer")[0]
    assert [layer.span_of("bottom", n).text for n in range(3)] == ['"x"', '"y"', '"z"']
    assert (layer.span_of("bottom", 2).line, layer.span_of("bottom", 2).column) == (3, 17)
    assert layer.span_of("bottom", 3) is None
    assert layer.span_of("top") is None
    assert layer.name_span_of("bottom", 1).line == 3
    assert layer.messages("pooling_param")[0].span.text == "{ kernel_size: 3 }"
    assert layer.fields[0].span.text == 'bottom: "x"'
    assert isinstance(layer.get("bottom")[1], Scalar)
    assert [field.name for _, field in layer.walk()] == ["bottom", "bottom", "pooling_param", "kernel_size"]


TOKENS = ["a", "m", "[x.y]", ":", "{", "}", "<", ">", "[", "]", ",", ";", "1", "-", "1.5", '"s"', "'t'", '"', "'", "\\",
          "# c", "\n", "\r\n", " ", "\t", "\ufeff", "\udcff", "\0", "é", "=", "a: 1", "m {", "0x", "-inf"]  # fmt: skip


@given(st.one_of(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join), st.text(max_size=80)))
@example("m [{a 1}, {b")
@example("m [{")
@example("a: [{}")
@example("\ud800")
def test_any_text_prints_back_or_has_diagnostics_inside_the_file(text):
    tree, found = parsed(lambda: Source("net", text))
    assert len(found) <= 20
    for fault in found:
        assert 0 <= fault.span.start <= fault.span.end <= len(text)
        assert fault.line >= 1
        assert fault.column >= 1
    if tree is None:
        assert found
        return
    assert print_tree(tree) == text
    for message, field in tree.root.walk():
        assert message.start <= field.start < field.name_end <= field.value_start < field.end <= field.stop
        assert text[field.start : field.name_end] == field.name


@given(st.binary(max_size=60))
def test_any_bytes_survive(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.prototxt"
    path.write_bytes(b"# " + data)
    tree, found = parsed(lambda: read_source(path))
    assert all(d.code in ("E001", "E002", "E003", "E004") for d in found)
    assert found or print_tree(tree).encode("utf-8", "surrogateescape") == b"# " + data


@pytest.mark.parametrize(
    "line", ["a \n", "a: 'x\\\n", "[", "#\n" * 3 + "a:\n", '"" ', "a:" + " " * 50 + "\n#", "x: - \n"]
)
def test_hostile_repetition_takes_no_more_than_linear_time(line):
    """A quadratic expression would need minutes for this, an exponential one ages."""
    text = line * (200_000 // len(line))
    for whole in (text, "a: [" + text, "a: " + text):
        tree, found = parsed(lambda text=whole: Source("net", text))
        assert found or print_tree(tree) == whole


class TestReadSource:
    def test_line_ends_mark_and_stray_bytes_are_kept(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_bytes(b"\xef\xbb\xbfa: 'x'\r\n# \xff\r\n")
        source = read_source(path)
        assert source.text == "\ufeffa: 'x'\r\n# \udcff\r\n"
        assert source.name == str(path)
        assert print_tree(parse(source)).encode("utf-8", "surrogateescape") == path.read_bytes()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none", "no such file or directory"),
            ("", "is a directory"),
            ("bin", "is a binary file"),
            ("wide", "is UTF-16 text"),
            ("a\0", "no file can have this name"),
        ],
    )
    def test_unreadable_files(self, tmp_path, name, message):
        (tmp_path / "bin").write_bytes(b"\x0a\x00\x12")
        (tmp_path / "wide").write_text("name: 'x'", encoding="utf-16")
        with pytest.raises(NetcError, match=message) as raised:
            read_source(f"{tmp_path}/{name}")
        assert raised.value.diagnostics[0].code == "E001"

    def test_a_windows_path_that_became_an_escape_sequence(self):
        for name, advised in (("D:\net.prototxt", True), ("D:/net.prototxt", False)):
            with pytest.raises(NetcError, match="no such file") as raised:
                read_source(name)
            assert bool(raised.value.diagnostics[0].help) is advised

    def test_too_large(self, tmp_path):
        with (tmp_path / "large").open("wb") as file:
            file.truncate((64 << 20) + 1)
        with pytest.raises(NetcError, match="too large") as raised:
            read_source(tmp_path / "large")
        assert raised.value.diagnostics[0].notes == ("67,108,865 bytes, the limit is 67,108,864",)
