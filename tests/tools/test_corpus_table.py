"""The table of a folder of prototxts."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 6, 13, 17] } } }\n'
FILES = {
    "sound.prototxt": INPUT + 'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }  # kept\n',
    "data/unknown.prototxt": 'layer { name: "d" type: "Data" top: "data" data_param { source: "no" batch_size: 2 } }\n',
    "faulty.prototxt": INPUT + 'layer { name: "relu" type: "ReLU" bottom: "date" top: "relu" }\n',
    "foreign.prototxt": INPUT + 'layer { name: "box" type: "FromAFork" bottom: "data" top: "box" }\n',
    "template.prototxt": INPUT + 'layer { type: "InnerProduct" inner_product_param { num_output: cls6x } }\n',
    "broken.prototxt": "layer {\n",
    "solver.prototxt": 'base_lr: 0.01 lr_policy: "fixed" max_iter: 10\n',
    "notes.md": "no net",
}


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("corpus_table", ROOT / "tools" / "corpus_table.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "corpus_table", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def rows(text: str) -> dict[str, int]:
    cells = [line.rsplit(maxsplit=1) for line in text.split("\n\n")[0].splitlines()]
    return {label.strip(): int(number) for label, number in cells}


def test_every_file_is_counted(tool, folder, capsys):
    assert tool.main([str(folder), "--list", "E011"]) == 0
    out = capsys.readouterr().out
    assert rows(out) == {
        "files": 7,
        "not read": 1,
        "templates": 1,
        "solvers": 1,
        "nets": 4,
        "read without an error in the text": 5,
        "printed back identical": 6,
        "nets of known layer types": 3,
        "complete": 1,
        "unknown": 1,
        "faulty": 1,
        "tracebacks": 0,
    }
    assert f"E011 {folder / 'faulty.prototxt'}:2: no earlier layer produces the bottom `date`" in out


def test_shapes_can_be_given(tool, folder, capsys):
    assert tool.main([str(folder), "--shape", "data=2,6,13,17"]) == 0
    counted = rows(capsys.readouterr().out)
    assert (counted["complete"], counted["unknown"]) == (2, 0)


def test_a_traceback_is_shown_and_not_hidden(tool, folder, capsys, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(tool, "check_net", fail)
    assert tool.main([str(folder)]) == 1
    assert "a fault of the program" in capsys.readouterr().out
