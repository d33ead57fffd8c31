"""Nothing registered is half done: every layer type has its documentation, tests and names."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from netc.ir.layer import DataLayer, Layer
from netc.layers import layer_classes, registry
from netc.schema import caffe, descriptor, is_bvlc

CLASSES = [cls for name in sorted(registry()) for cls in layer_classes(name)]
TESTS = "\n".join(path.read_text() for path in (Path(__file__).parent / "layers").rglob("*.py"))
V1_VALUES = caffe.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values
V1_NAMES = {value.name for value in V1_VALUES if is_bvlc(value)}
V1_NAMES_OF_FORKS = {value.name for value in V1_VALUES} - V1_NAMES


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.type}-{cls.dialect}")
def test_a_layer_type_is_documented_tested_and_computes(cls):
    doc = inspect.getdoc(cls) or ""
    assert dataclasses.is_dataclass(cls)
    assert doc != (inspect.getdoc(Layer) or "")
    assert "Reference:" in doc, "it does not say where its rule comes from"
    assert "Shapes:" in doc, "it does not state its shapes"
    named = not cls.dialect and f'"{cls.type}"' in TESTS
    assert named or f"{cls.__name__}(" in TESTS, "no test in tests/layers makes one"
    assert cls.param_field is None or cls.param_field in descriptor("LayerParameter").fields_by_name
    assert cls.v1 is None or cls.v1 in (V1_NAMES_OF_FORKS if cls.dialect else V1_NAMES)
    own = cls.forward is not Layer.forward or cls.module is not Layer.module
    assert own or issubclass(cls, DataLayer), "it has neither module() nor forward()"


def test_every_v1_type_is_registered():
    assert V1_NAMES - {cls.v1 for cls in CLASSES} == {"NONE"}
