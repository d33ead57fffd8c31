"""Names of files that no system accepts, or that are not UTF-8, are errors that name them; no verb ends otherwise."""

import contextlib
import io

import pytest

from netc import cli

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"'
NAMES = {
    "empty": "",
    "dot": ".",
    "parent": "..",
    "root": "/",
    "NUL": "a\0b",
    "not UTF-8": "missing/a\udce9",
    "long": "x" * 300,
    "long in bytes": "\u00e9" * 130,
    "escape": "missing/\x1b[2J\r\n\x9b",
    "device": "/dev/full",
    "below a file": "net.prototxt/x",
}
READ = [
    ["check", "@"],
    ["summary", "@"],
    ["fmt", "@"],
    ["upgrade", "@", "new.prototxt"],
    ["diff", "net.prototxt", "@"],
    ["explain", "@"],
    ["weights", "@"],
    ["convert", "@", "--to", "pt", "--output", "new.pt"],
    ["convert", "net.prototxt", "--weights", "@", "--to", "pt", "--output", "new.pt"],
    ["verify", "net.prototxt", "@"],
    ["verify", "net.prototxt", "net.prototxt", "--input", "@"],
    ["classify", "net.prototxt", "@", "i.png"],
    ["train", "@"],
    ["train", "solver.prototxt", "--weights", "@"],
    ["train", "solver.prototxt", "--snapshot", "@"],
    ["test", "net.prototxt", "--weights", "@"],
    ["time", "@"],
    ["log", "@"],
    ["plot", "@"],
    ["data", "folder", "@", "new.db"],
    ["data", "show", "@"],
    ["data", "check", "@"],
    ["data", "mean", "@", "new.binaryproto"],
    ["data", "images", ".", "@", "new.db"],
]
WRITTEN = [
    ["upgrade", "net.prototxt", "@"],
    ["convert", "net.prototxt", "--to", "safetensors", "--output", "@"],
    ["convert", "net.prototxt", "--to", "pt", "--output", "@"],
    ["convert", "net.prototxt", "--to", "caffe", "--output", "@"],
    ["convert", "net.prototxt", "--to", "py", "--output", "@"],
    ["convert", "net.prototxt", "--to", "onnx", "--output", "@"],
    ["data", "folder", "images", "@"],
    ["train", "solver.prototxt", "--log-json", "@"],
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "images").mkdir()
    return tmp_path


def outcome(command: list[str], name: str) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = cli.main([name if argument == "@" else argument for argument in command])
    return status, printed.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_files_to_read(name, folder):
    for command in READ:
        status, printed = outcome(command, NAMES[name])
        assert status in (1, 2), command
        assert "error[" in printed or "Error:" in printed, command
        assert not {c for c in printed if not c.isprintable() and c != "\n"}, command


@pytest.mark.parametrize("name", [name for name in NAMES if name != "device"])
def test_files_to_write(name, folder):
    before = sorted(folder.iterdir())
    for command in WRITTEN:
        status, printed = outcome(command, NAMES[name])
        assert status in (1, 2), command
        assert "error[" in printed or "Error:" in printed, command
    assert sorted(folder.iterdir()) == before


def test_names_that_are_only_odd(folder):
    for name in ("\udce9", "a\nb\x1b[2J", "\u00e9" * 100, " ", "a.b.c", "%s"):
        assert outcome(["upgrade", "net.prototxt", name], "")[0] == 0
        assert outcome(["check", name], "")[0] == 0
        status, printed = outcome(["convert", name, "--to", "caffe", "--output", f"{name}.prototxt"], "")
        assert status == 0, printed
        status, printed = outcome(["weights", f"{name}.caffemodel", f"{name}.prototxt"], "")
        assert status == 0, printed
        assert not {c for c in printed if not c.isprintable() and c != "\n"}


def test_new_names_of_layers(folder):
    command = ["surgery", "rename", "net.prototxt", "--layer", "fc=a\udce9", "--output", "new.prototxt"]
    status, printed = outcome(command, "")
    assert status == 1
    assert printed.startswith(r"error[E805]: `a\xe9` is not a valid name of a layer: it is not UTF-8")


SOURCES = [
    'type: "Data" data_param { source: "%s" batch_size: 2 }',
    'type: "Data" data_param { source: "%s" batch_size: 2 backend: LMDB }',
    'type: "ImageData" image_data_param { source: "%s" batch_size: 1 }',
    'type: "ImageData" image_data_param { source: "list.txt" root_folder: "%s/" batch_size: 1 }',
    'type: "HDF5Data" hdf5_data_param { source: "%s" batch_size: 2 }',
]


@pytest.mark.parametrize("source", SOURCES)
def test_sources_and_prefixes(source, folder):
    (folder / "list.txt").write_text("i.png 0\n")
    (folder / "s.prototxt").write_text(SOLVER.replace("net.prototxt", "data.prototxt"))
    for name in ("", ".", "x" * 300, "\u00e9" * 130, "a\\000b", "net.prototxt/x", "missing/\\033[2J"):
        layer = f'layer {{ name: "d" top: "x" top: "y" {source % name} }}'
        loss = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" }'
        (folder / "data.prototxt").write_text(layer + loss)
        for command in (["check", "data.prototxt"], ["train", "s.prototxt"], ["summary", "data.prototxt"]):
            status, printed = outcome(command, "")
            assert status == 1 or command[0] != "train", (command, name)
            assert not {c for c in printed if not c.isprintable() and c not in "\n\t"}, (command, name)


def test_a_snapshot_prefix_that_is_too_long(folder):
    (folder / "s.prototxt").write_text(SOLVER.replace('"s"', f'"{"x" * 300}"').replace("net.prototxt", "loss.prototxt"))
    (folder / "loss.prototxt").write_text(
        NET + 'layer { name: "l" type: "Reduction" bottom: "fc" top: "l" loss_weight: 1 }'
    )
    status, printed = outcome(["train", "s.prototxt"], "")
    assert status == 1
    assert "error[" in printed
