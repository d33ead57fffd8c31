"""Unique names of values, modules and operators."""

from __future__ import annotations

import time

import pytest

from netc.diagnostics import Source
from netc.inspection import check
from netc.ir.graph import ModuleKeys
from netc.ir.names import UniqueNames

HEAD = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }\n'
IN_PLACE = 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }\n'
"""A layer whose name, and whose blob, every copy of it repeats."""


def test_numbers_skip_names_that_are_used() -> None:
    names = UniqueNames("_", ["a", "a_2"], first=2)
    assert [names.add("a") for _ in range(3)] == ["a_3", "a_4", "a_5"]
    assert names.add("a_4") == "a_4_2"
    assert names.used >= {"a", "a_2", "a_3", "a_4", "a_5", "a_4_2"}


def test_module_keys_differ_for_names_that_look_like_escaped_ones() -> None:
    keys = ModuleKeys()
    found = [keys.add(name) for name in ("relu", "relu", "relu%1", "relu%251", "%", "")]
    assert found == ["relu", "relu%1", "relu%251", "relu%25251", "%25", "%"]


def seconds(layers: int) -> float:
    source = Source("net", HEAD + IN_PLACE * layers)
    start = time.process_time()
    found = check(source)
    used = time.process_time() - start
    assert len(found) == layers - 1  # W010, another layer has this name
    return used


@pytest.mark.slow
def test_time_is_linear_in_repetitions_of_a_name() -> None:
    seconds(10)
    assert seconds(8000) < 8 * seconds(2000)
