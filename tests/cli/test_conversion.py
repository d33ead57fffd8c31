"""The verbs convert, weights, classify, verify and surgery as people type them."""

import json

import cv2
import numpy as np
import pytest

from netc.cli import main
from tests.conversion.nets import MIXED, trained, write


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """A folder with net.prototxt and w.caffemodel, in which the commands run."""
    from netc.conversion.writers import write_caffe

    write_caffe(trained(write(tmp_path, MIXED)), tmp_path / "w.prototxt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    """Exit status, standard output and standard error of one command line."""
    status = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_convert_then_verify(mixed, capsys):
    for name in ("m.onnx", "m.py"):
        kind = name.split(".")[1]
        convert = ("convert", "net.prototxt", "--weights", "w.caffemodel", "--to", kind, "--output", name, "--fold")
        assert run(capsys, *convert)[0] == 0
    status, out, _ = run(capsys, "verify", "net.prototxt", "m.onnx", "--weights", "w.caffemodel", "--batch", 3)
    assert (status, out.splitlines()[-1].split()[-3:]) == (0, ["agree", "to", "0.0001"])
    status, out, _ = run(capsys, "verify", "m.py", "m.onnx", "--format", "json")
    assert (status, json.loads(out)["agrees"]) == (0, True)
    np.save("x.npy", np.zeros((2, 3, 23, 19), np.float32))
    status, out, _ = run(capsys, "verify", "net.prototxt", "m.onnx", "--input", "x.npy")
    assert status == 1, "random weights are not those of the file"
    assert "differ, first `conv1.2`" in out


def test_weights_lists_and_compares(mixed, capsys):
    status, out, _ = run(capsys, "weights", "w.caffemodel", "net.prototxt", "--stats")
    assert status == 0
    assert "[8,3,3,3]" in out
    status, out, _ = run(capsys, "weights", "w.caffemodel", "--format", "json")
    found = json.loads(out)
    assert found["name"] == "mixed"
    assert found["blobs"][0]["file"] == [8, 3, 3, 3]
    write(mixed, MIXED.replace("num_output: 5", "num_output: 4"), "other.prototxt")
    assert run(capsys, "weights", "w.caffemodel", "other.prototxt")[0] == 1


def test_weights_does_not_import_torch(mixed):
    import subprocess
    import sys

    code = "import sys; from netc.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "weights", "w.caffemodel", "net.prototxt"], capture_output=True)
    assert done.returncode == 0


def test_classify_prints_a_table_and_json(mixed, capsys):
    cv2.imwrite("a.png", np.random.default_rng(2).integers(0, 256, (40, 36, 3), np.uint8))
    command = ("classify", "a.png", "a.png", "--model", "net.prototxt", "--weights", "w.caffemodel", "--mean", "1,2,3")
    status, out, _ = run(capsys, *command, "--top", 2)
    assert status == 0
    assert out.count("a.png") == 2
    assert len(out.splitlines()) == 6
    status, out, _ = run(capsys, *command, "--format", "json")
    assert [len(one["classes"]) for one in json.loads(out)] == [5, 5]


def test_classify_accepts_the_options_of_classify_py(mixed, capsys):
    cv2.imwrite("a.png", np.random.default_rng(2).integers(0, 256, (40, 36, 3), np.uint8))
    own = ("--model", "net.prototxt", "--weights", "w.caffemodel", "--mean", "1,2,3", "--scale", "0.5")
    status, out, _ = run(capsys, "classify", "a.png", *own, "--resize", "64,48")
    assert status == 0
    of_caffe = ("--model_def", "net.prototxt", "--pretrained_model", "w.caffemodel", "--mean_file", "1,2,3")
    again = run(capsys, "classify", "a.png", *of_caffe, "--input_scale", "0.5", "--images_dim", "64,48")
    assert again[:2] == (0, out)


def test_a_mismatch_is_an_error_and_a_wrong_option_is_a_usage_error(mixed, capsys):
    write(mixed, MIXED.replace("num_output: 5", "num_output: 4"), "other.prototxt")
    status, _, err = run(
        capsys, "convert", "other.prototxt", "--weights", "w.caffemodel", "--to", "py", "--output", "m"
    )
    assert status == 1
    assert "E306" in err
    assert run(capsys, "convert", "net.prototxt", "--to", "mp3", "--output", "m")[0] == 2
    resize = ("convert", "net.prototxt", "--to", "py", "--output", "m", "--resize", "big")
    assert run(capsys, *resize)[0] == 2


@pytest.mark.parametrize(
    "verb",
    [("fc-to-conv",), ("classes", "--layer", "fc", "--count", "7"), ("fold",), ("drop", "--layer", "drop"),
     ("rename", "--layer", "fc=scores"), ("crop", "--blob", "fc")],
)  # fmt: skip
def test_surgery_writes_nets_that_match_their_weights(mixed, capsys, verb):
    name, *options = verb
    command = ("surgery", name, "net.prototxt", "--weights", "w.caffemodel", "--output", "s.prototxt", *options)
    assert run(capsys, *command)[0] == 0
    assert run(capsys, "weights", "s.caffemodel", "s.prototxt")[0] == 0
    assert run(capsys, "check", "s.prototxt")[0] == 0
