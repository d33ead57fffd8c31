"""The generated files are what proto/ gives."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("generate_schema", ROOT / "tools" / "generate_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_fresh(tool, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


def test_a_changed_proto_is_noticed_and_written(tool, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copytree(ROOT / "netc" / "schema", tmp_path / "netc" / "schema")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    proto = tmp_path / "proto" / "caffe2.proto"
    proto.write_text(proto.read_text().replace("optional int64 op_version = 12;", "optional int64 op_version = 13;"))
    assert tool.main(["--check"]) == 1
    assert capsys.readouterr().out == "netc/schema/caffe2.bin is stale\n"
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0


def read(tool, text):
    return tool.Reader("x.proto", text).read()


def test_names_are_resolved_from_the_inside_out(tool):
    file = read(
        tool,
        """
        syntax = "proto2"; package p;
        message E { required int64 a = 1; }
        message M {
          enum E { X = 3; }
          optional E inner = 1 [default = X];
          message N { repeated M up = 2; optional E inner = 3; }
        }
        message O { optional E outer = 1; optional M.N dotted = 2; repeated float f = 3 [packed = true]; }
        """,
    )
    m, o = file.message_type[1], file.message_type[2]
    assert (m.field[0].type_name, m.field[0].type, m.field[0].default_value) == (".p.M.E", 14, "X")
    assert [field.type_name for field in m.nested_type[0].field] == [".p.M", ".p.M.E"]
    assert [(field.type_name, field.type) for field in o.field] == [(".p.E", 11), (".p.M.N", 11), ("", 2)]
    assert o.field[2].options.packed
    assert o.field[2].label == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('syntax = "proto3";', "x.proto: only proto2 is supported"),
        ('syntax = "proto2";\nservice S {}', "x.proto:2: expected syntax or package or message or enum, found service"),
        ("package p;\nmessage M { optional Missing m = 1; }", "p.M.m: unknown type Missing"),
        ("message M {\n optional int32 a = 1 [ctype = CORD]; }", "x.proto:2: expected default or packed or deprecated"),
        ("message M {\n  $ }", "x.proto:2: cannot read '$'"),
    ],
)
def test_what_it_cannot_read_it_says(tool, text, message):
    with pytest.raises(SystemExit) as raised:
        read(tool, text)
    assert message in str(raised.value)
