"""The rule files of each format mirror netc/layers/ by name, and are found without a list."""

import ast
import inspect
from pathlib import Path

import pytest

from netc.exporters.caffe2.rules import RULES as CAFFE2
from netc.exporters.onnx.rules import RULES as ONNX
from netc.exporters.python.rules import RULES as PYTHON
from netc.layers import layer_classes, operator_registry, registry
from netc.layers.operators.blobs import StoredBlob

FORMATS = {"onnx": ONNX, "python": PYTHON, "caffe2": CAFFE2}
CLASSES = {cls for name in registry() for cls in layer_classes(name)} | set(operator_registry().values()) | {StoredBlob}
LAYERS = {cls.__module__.removeprefix("netc.layers.") for cls in CLASSES}


def below(module: str, name: str) -> str:
    """The name of a module within the package of a format."""
    return module.removeprefix(f"netc.exporters.{name}.")


@pytest.mark.parametrize("name", FORMATS)
def test_a_rule_is_in_the_file_of_its_layer_or_of_a_base(name):
    rules = FORMATS[name].by_type
    assert len(rules) > 20
    for layer, rule in rules.items():
        owners = {cls.__module__.removeprefix("netc.layers.") for cls in layer.__mro__}
        assert below(inspect.getmodule(rule).__name__, name) in owners


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_of_a_layer_registers_a_rule_and_no_other_does(name):
    folder = Path(inspect.getfile(FORMATS[name].__class__)).parent / name
    with_rules = {below(inspect.getmodule(rule).__name__, name) for rule in FORMATS[name].by_type.values()}
    files = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")}
    assert files & LAYERS == with_rules


@pytest.mark.parametrize("name", FORMATS)
def test_no_list_names_the_rule_files(name):
    folder = Path(inspect.getfile(FORMATS[name].__class__)).parent / name
    for file in ("__init__.py", "model.py", "source.py", "rules.py"):
        path = folder / file
        for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not {below(module, name) for module in modules} & LAYERS
