"""Places of a template: found, told, filled, and their lines and columns kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.read import read_net
from netc.text import parse
from netc.text.templates import blanked, fill, is_template, places, unfilled
from tests.text.test_parse import TOKENS

NET = 'layer { name: "ip" type: "InnerProduct"\n  inner_product_param { num_output: %s } }\n'
SPELLINGS = ["$n", "${n}", "${ n }", "$(n)", "{{n}}", "{{ n }}", "{n}", "{ n }"]


def filled(text, **values):
    source, unused = fill(Source("net", text), values)
    return source.text, [d.message for d in unused]


@pytest.mark.parametrize("spelling", SPELLINGS)
class TestMarked:
    def test_it_is_reported_in_one_error(self, spelling):
        _, report = read_net(Source("net", NET % spelling + NET % spelling))
        (found,) = report.diagnostics
        assert (found.code, found.line, found.column) == ("E033", 2, 37)
        assert found.message == "the file is a template without values for `n`"
        assert found.notes == (f"`{spelling}` on lines 2, 4",)
        assert found.help == "pass values: `--set n=...`"

    def test_it_is_filled(self, spelling):
        net, report = read_net(Source("net", NET % spelling), {"n": "21"})
        assert not report.diagnostics
        assert net["layer"][0].message("inner_product_param")["num_output"] == 21

    def test_other_errors_of_the_file_are_reported_too(self, spelling):
        _, report = read_net(Source("net", NET % spelling + "name = 3\n}"))
        assert [(d.code, d.line) for d in report.diagnostics] == [("E033", 2), ("E002", 3), ("E003", 4)]

    def test_a_placeholder_in_a_comment_is_ignored(self, spelling):
        text = NET % 3 + f"# {spelling}\n"
        assert not is_template(Source("net", text))
        assert filled(text, n="1") == (text, ["`net` has no placeholder `n`"])


class TestFill:
    def test_numbers_times_a_value(self):
        text = "a: cls6x b: cls_1x c: cls3x d: cls6 e: cls0x name: cls2xx"
        assert filled(text, cls="21") == ("a: 126 b: 21 c: 63 d: cls6 e: cls0x name: cls2xx", [])
        assert filled("a: cls6x b: cls3x", cls6x="1", cls="2") == ("a: 1 b: 6", [])
        assert filled("a: cls6x", cls="many") == ("a: cls6x", ["`net` has no placeholder `cls`"])

    def test_bare_words_need_a_value(self):
        assert filled("pool: MAX n: N type: N2", N="3") == ("pool: MAX n: 3 type: N2", [])

    def test_strings(self):
        text = """source: "${root}/a" mean: 'x{n}$y' # ${root}"""
        assert filled(text, root='"C:\\') == ("""source: "\\"C:\\\\/a" mean: 'x{n}$y' # ${root}""", [])
        assert not is_template(Source("net", text))
        assert parse(Source("net", text))

    def test_a_value_is_text(self):
        text, _ = filled("{{ layers }}\nname: $name", layers='layer { type: "ReLU" }', name='"n"')
        assert text == 'layer { type: "ReLU" }\nname: "n"'

    def test_names_that_are_not_there(self):
        (found,) = fill(Source("net", "n: $classes"), {"clases": "2"})[1]
        assert (found.code, found.help) == ("W039", "did you mean `classes`?")

    def test_without_values_the_source_is_the_same(self):
        source = Source("net", "n: $n")
        assert fill(source, {}) == (source, [])


class TestPlacesInTheFile:
    def test_lines_and_columns_are_those_of_the_template(self):
        text = "a: $long_name b: 1\n$block\nc: {{d}} = 2\n"
        source, _ = fill(Source("net", text), {"long_name": "1", "block": "x: 1\n\n\ny: 2", "d": "123456789"})
        for word in ("b:", "c:", "= 2"):
            at = source.text.index(word)
            assert source.position(at) == Source("net", text).position(text.index(word))
        assert source.position(source.text.index("y: 2")) == (2, 1)
        assert source.line(3) == "c: {{d}} = 2"

    def test_a_value_of_the_wrong_type_is_reported_at_its_position(self):
        _, report = read_net(Source("net", "\n" + NET % "${n}"), {"n": "many"})
        assert [(d.code, d.line, d.column) for d in report.diagnostics] == [("E006", 3, 37)]

    def test_a_syntax_error_after_a_filled_placeholder(self):
        _, report = read_net(Source("net", "n: $n\nm: $n }\n"), {"n": "1000000"})
        assert [(d.code, d.line, d.column) for d in report.diagnostics] == [("E003", 2, 7)]


def test_words_that_are_placeholders_are_reported_together():
    text = NET % "cls6x" + NET % "cls3x" + NET % "many"
    _, report = read_net(Source("net", text))
    assert [(d.code, d.line) for d in report.diagnostics] == [("E006", 6), ("E033", 2)]
    assert report.diagnostics[1].notes == ("`cls6x` `cls3x` on lines 2, 4",)


def test_many_names_are_counted():
    found = unfilled(Source("net", "".join(f"a: $n{i}\n" for i in range(12)) + "b: $n0\n" * 9))
    assert found.message.endswith("`n7`, ...")
    assert found.notes[0] == "`$n0` on lines 1, 13, 14, 15, 16 and 5 more"


@given(st.lists(st.sampled_from([*TOKENS, *SPELLINGS, "cls6x", " n ", "$", "{"]), max_size=30).map("".join))
def test_any_text(text):
    """Filling and blanking raise nothing; blanking keeps every place; filled places point into the file."""
    source = Source("net", text)
    assert len(blanked(source).text) == len(text)
    new, _ = fill(source, {"n": "12", "cls": "3"})
    assert not [place for place in places(new.text) if place.kind == "marked" and place.name == "n"] or "$" in text
    for offset in range(0, len(new.text), 3):
        line, column = new.position(offset)
        assert column >= 1
        assert 1 <= line <= text.count("\n") + 1
    try:
        read_net(source)[1].raise_errors()
        read_net(source, {"n": "12"})[1].raise_errors()
    except NetcError as error:
        error.render()
