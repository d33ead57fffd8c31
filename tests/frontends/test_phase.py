"""Which layers belong to which net: include and exclude rules, and the states that they tell apart."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.phase import MOST_STATES, included, meets, merged, states
from netc.frontends.caffe.read import read_net
from netc.ir.fields import Fields
from netc.ir.graph import State


def layer_with(rules: str) -> Fields:
    return read_net(Source("net", f'layer {{ name: "a" type: "ReLU" {rules} }}'))[0]["layer"][0]


@pytest.mark.parametrize(
    ("rule", "state", "met"),
    [
        ({}, State("TRAIN"), True),
        ({"phase": "TEST"}, State("TRAIN"), False),
        ({"phase": "TEST"}, State("TEST"), True),
        ({"min_level": 2}, State("TEST", 1), False),
        ({"min_level": 2}, State("TEST", 2), True),
        ({"max_level": 2}, State("TEST", 3), False),
        ({"max_level": 2}, State("TEST", 2), True),
        ({"stage": ["a", "b"]}, State("TEST", 0, ("a",)), False),
        ({"stage": ["a", "b"]}, State("TEST", 0, ("b", "a", "c")), True),
        ({"not_stage": ["a", "b"]}, State("TEST", 0, ("b",)), False),
        ({"not_stage": ["a"]}, State("TEST", 0, ("b",)), True),
        ({"phase": "TEST", "stage": ["a"], "not_stage": ["b"]}, State("TEST", 0, ("a",)), True),
    ],
)
def test_a_rule_matches_if_all_its_conditions_do(rule, state, met):
    defaults = {"stage": (), "not_stage": ()}
    assert meets(state, Fields(rule, defaults)) is met


def test_one_include_rule_is_enough_and_one_exclude_rule_too():
    either = layer_with('include { phase: TRAIN } include { stage: "a" }')
    assert included(either, State("TRAIN"))
    assert included(either, State("TEST", 0, ("a",)))
    assert not included(either, State("TEST"))
    neither = layer_with('exclude { phase: TRAIN } exclude { stage: "a" }')
    assert not included(neither, State("TRAIN"))
    assert not included(neither, State("TEST", 0, ("a",)))
    assert included(neither, State("TEST"))


def test_both_kinds_of_rules_are_an_error_at_the_second():
    with pytest.raises(NetcError) as caught:
        included(layer_with("include { phase: TRAIN } exclude { phase: TEST }"), State())
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.text) == ("E013", "{ phase: TEST }")


def test_later_levels_win_and_stages_add_up_once():
    found = merged("TRAIN", Fields({"level": 1, "stage": ["a", "b"]}), Fields({"stage": ["b", "", "c"]}))
    assert found == State("TRAIN", 1, ("a", "b", "c"))


def net_with(*rules: str) -> Fields:
    text = "\n".join(f'layer {{ name: "l{i}" type: "ReLU" {rule} }}' for i, rule in enumerate(rules))
    return read_net(Source("net", text))[0]


def test_a_net_without_rules_has_two_states():
    assert list(states(net_with(""), State("TEST", 3, ("x",)))) == [State("TRAIN", 3, ("x",)), State("TEST", 3, ("x",))]


def test_every_stage_and_level_that_rules_name_is_a_state():
    found = list(states(net_with('include { stage: "a" }', 'exclude { not_stage: "b" max_level: 1 }'), State()))
    assert found[:2] == [State("TRAIN"), State("TEST")]
    assert {state.stages for state in found} == {(), ("a",), ("b",), ("a", "b")}
    assert {state.level for state in found} == {0, 2}
    assert len(found) == 2 * 4 * 2


def test_many_stages_are_checked_separately_and_together():
    names = [f"s{i}" for i in range(5)]
    found = {state.stages for state in states(net_with(*(f'include {{ stage: "{n}" }}' for n in names)), State())}
    assert found == {(), *((name,) for name in names), tuple(names)}


def test_the_number_of_states_is_bounded():
    many = net_with(*(f'include {{ stage: "s{i}" min_level: {i} }}' for i in range(300)))
    assert len(list(states(many, State()))) == MOST_STATES
