"""Broken files: what can be read is in the tree, with every layer before and after an error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError, Source
from netc.frontends import read_net
from netc.text import Message, parse, parse_with_errors
from netc.text.parser import MAX_DEPTH
from tests.text.test_parse import TOKENS

MODELS = Path(__file__).parent.parent.parent / "models"
LAYER = """layer {
  name: "%s"
  type: "Convolution"
  bottom: "data"
  top: "%s"
  convolution_param {
    num_output: 3
    kernel_size: 1
  }
}
"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }\n'
NET = INPUT + "".join(LAYER % (name, name) for name in "abcd")


def layers(text: str) -> list[str]:
    """The names of the layers at the top of the tree of a broken text."""
    tree, errors = parse_with_errors(Source("net", text))
    assert errors
    return [layer.get("name")[0].raw.strip('"') for layer in tree.root.messages("layer") if layer.get("name")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    kernel_size: 1\n  }\n}", "    kernel_size: 1\n  }\n"),
        ("    kernel_size: 1\n  }\n}", "    kernel_size: 1\n}"),
        ("    kernel_size: 1\n  }\n}", "    kernel_size: 1\n"),
        ("    kernel_size: 1\n  }\n}", "    kernel_size: 1\n  }\n}\n}"),
        ('bottom: "data"', 'bottom: "data'),
        ('bottom: "data"', "bottom = data"),
        ('bottom: "data"', "bottom:"),
        ('bottom: "data"', 'bottom: ["data", '),
        ('bottom: "data"', "bottom: %&/()"),
        ("convolution_param {", "convolution_param"),
        ("convolution_param {", "convolution_param <"),
        ("layer {", "layer"),
        ("layer {", "layer { {"),
    ],
    ids=str,
)
@pytest.mark.parametrize("index", range(4))
def test_every_layer_around_an_error_is_in_the_tree(old, new, index):
    parts = NET.split("layer {\n")
    parts[index + 1] = ("layer {\n" + parts[index + 1]).replace(old, new)
    text = parts[0] + "".join(part if part.startswith("layer") else "layer {\n" + part for part in parts[1:])
    expected = [name for name in ("data", *"abcd") if name != "abcd"[index]]
    assert [name for name in layers(text) if name != "abcd"[index]] == expected


def test_several_layers_without_an_end():
    text = NET.replace("  }\n}", "  }\n")
    assert layers(text) == ["data", *"abcd"]
    assert layers(NET.replace("\n", " ").replace("  } } ", "  } ")) == ["data", *"abcd"]


def test_each_layer_without_an_end_is_reported():
    text = NET.replace("  }\n}", "  }\n", 2)
    assert [(d.code, d.line) for d in netc.check(Source("net", text))] == [("E003", 2), ("E003", 12)]


def test_an_unclosed_message_ends_before_dedented_fields():
    text = (LAYER % ("a", "a")).removesuffix("}\n") + LAYER % ("b", "b")
    tree, _ = parse_with_errors(Source("net", text))
    first, second = tree.root.messages("layer")
    assert first.span.end <= second.span.start
    assert second.span.text == text[text.rindex("layer {") + len("layer ") :].rstrip("\n")


def test_messages_that_nest_too_deep_are_not_in_the_tree():
    text = "a {" * (MAX_DEPTH + 5) + "}" * (MAX_DEPTH + 5) + ' layer { name: "b" }'
    assert layers(text) == ["b"]


def test_which_calls_raise():
    source = Source("net", NET.replace("layer {", "layer", 2))
    errors = parse_with_errors(source)[1]
    with pytest.raises(NetcError) as raised:
        parse(source)
    assert list(raised.value.diagnostics) == errors
    assert parse_with_errors(Source("net", NET))[1] == []


def test_a_definition_has_the_layers_and_the_findings_of_a_broken_file():
    text = NET.replace('name: "b"', "name: ").replace("num_output: 3", "num_output: many", 1)
    net = read_net(Source("net", text))
    assert net.has_syntax_errors
    assert [layer.name for layer in net.layers if layer.name not in ("", "type")][:2] == ["data", "a"]
    assert {layer.name for layer in net.layers} >= {"data", "a", "c", "d"}
    assert [(d.code, d.line) for d in net.report.errors] == [("E002", 14), ("E006", 8)]
    with pytest.raises(NetcError):
        net.report.raise_errors()


def test_check_finds_independent_errors_of_a_broken_file():
    unknown = LAYER.replace("Convolution", "Convlution", 1) % ("e", "e")
    text = NET.replace('bottom: "data"', "bottom = data", 1) + unknown
    found = [(d.code, d.severity) for d in netc.check(Source("net", text))]
    assert found == [("E002", "error"), ("E010", "error")]


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_model_keeps_its_other_layers(seed):
    """One character of a real net is taken away or put in."""
    text = (MODELS / "lenet" / "train_val.prototxt").read_text()
    whole = [str(layer.get("name")) for layer in parse(Source("net", text)).root.messages("layer")]
    chance = random.Random(seed)
    at = chance.randrange(len(text))
    damaged = text[:at] + chance.choice(("", "{", "}", '"', ":")) + text[at + 1 :]
    tree, _ = parse_with_errors(Source("net", damaged))
    kept = [str(layer.get("name")) for layer in tree.root.messages("layer")]
    assert sum(name in kept for name in whole) >= len(whole) - 2


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_text_yields_a_tree_with_spans_in_the_file(text):
    tree, errors = parse_with_errors(Source("net", text))
    assert len(errors) <= 20
    for _, field in tree.root.walk():
        assert field.values or field.listed
        assert text[field.start : field.name_end] == field.name
        for value in field.values:
            assert 0 <= value.start <= value.end <= len(text)
            assert isinstance(value, Message) or text[value.start : value.end] == value.raw
    netc.check(Source("net", text))


def test_a_broken_text_without_a_layer_is_reported_by_its_syntax_errors():
    with pytest.raises(NetcError) as error:
        read_net(Source("net.py", "base_lr: 0.1\nimport torch"))
    assert {found.code for found in error.value.diagnostics} == {"E002"}
