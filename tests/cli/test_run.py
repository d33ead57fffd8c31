"""`netc run`: scripts that import caffe; `install`, and the module in an environment."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from netc.diagnostics import NetcError
from netc.pycaffe import site

SCRIPT = """
import sys
import caffe
import caffe.io, caffe.draw, caffe.net_spec, caffe.coord_map, caffe.classifier, caffe.detector, caffe.pycaffe
import caffe._caffe
import near
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import *

assert caffe.io.caffe_pb2 is caffe_pb2 is caffe.proto.caffe_pb2
assert NetParameter is caffe_pb2.NetParameter and TRAIN == caffe_pb2.TRAIN == 0
assert caffe_pb2._POOLINGPARAMETER_POOLMETHOD.values_by_name["AVE"].number == P.Pooling.AVE
assert caffe_pb2._V1LAYERPARAMETER_LAYERTYPE.values_by_name["RELU"].number == V1LayerParameter.RELU
assert {"NetParameter", "Phase", "TEST", "_NETPARAMETER"} <= set(dir(caffe_pb2))
assert issubclass(caffe.AdamSolver, caffe.SGDSolver) and caffe._caffe.Net is caffe.pycaffe.Net is caffe.Net
assert caffe.classifier.Classifier is caffe.Classifier and caffe.detector.Detector is caffe.Detector
print(__name__, sys.argv, near.VALUE)
if "fail" in sys.argv:
    caffe.Net("missing.prototxt", caffe.TEST)
sys.exit({"three": 3, "text": "a text"}.get(sys.argv[-1]))
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "near.py").write_text("VALUE = 5\n")
    (tmp_path / "scripts" / "use.py").write_text(SCRIPT)


def run(*arguments, text=""):
    done = subprocess.run(
        [sys.executable, "-m", "netc", "run", *arguments], input=text, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_script_has_its_arguments_and_status(script):
    expected = "__main__ ['scripts/use.py', '--weights', 'w', '-m', 'three'] 5\n"
    assert run("scripts/use.py", "--weights", "w", "-m", "three") == (3, expected, "")
    assert run("scripts/use.py", "text")[::2] == (1, "a text\n")


@pytest.mark.slow
def test_an_exception_is_shown_as_python_shows_it(script):
    status, _, error = run("scripts/use.py", "fail")
    assert status == 1
    assert error.splitlines()[-1].endswith("cannot read `missing.prototxt`: no such file or directory")
    assert re.search(r'File "scripts/use.py", line \d+, in <module>', error)
    assert "runpy" not in error
    assert "netc/cli/run.py" not in error


@pytest.mark.slow
def test_code_modules_and_standard_input(script):
    code = "import caffe, sys; print(caffe.TEST, sys.argv, __name__)"
    assert run("-c", code, "-x") == (0, "1 ['-c', '-x'] __main__\n", "")
    assert run(text=code) == (0, "1 [''] __main__\n", "")
    assert run("-", "y", text=code) == (0, "1 ['-', 'y'] __main__\n", "")
    status, out, _ = run("-m", "json.tool", text='{"a": 1}')
    assert (status, out) == (0, '{\n    "a": 1\n}\n')


def test_a_script_that_does_not_exist(capsys, monkeypatch, tmp_path):
    from netc.cli import main

    saved = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "caffe"}
    monkeypatch.chdir(tmp_path)
    assert main(["run", "none.py"]) == 1
    assert "cannot run `none.py`: no such file" in capsys.readouterr().err
    for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
        monkeypatch.delitem(sys.modules, name)
    sys.modules.update(saved)


class TestSite:
    @pytest.fixture(autouse=True)
    def without_caffe(self, monkeypatch, tmp_path):
        for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(str(tmp_path))

    @pytest.mark.slow
    def test_it_is_written_and_removed(self, tmp_path):
        path = site.add(tmp_path)
        assert path == tmp_path / "caffe.py"
        assert site.add(tmp_path) == path  # once more
        done = subprocess.run(
            [sys.executable, "-c", "import caffe.io, caffe; print(caffe.io.oversample.__module__, caffe.TEST)"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "netc.pycaffe.io 1\n"
        site.remove(tmp_path)
        assert not path.exists()
        with pytest.raises(NetcError, match=r"no `caffe.py` of netc in"):
            site.remove(tmp_path)

    def test_another_caffe_is_left_alone(self, tmp_path):
        other = tmp_path / "caffe.py"
        other.write_text("MINE = 1\n")
        with pytest.raises(NetcError, match="another `caffe` is installed"):
            site.add(tmp_path)
        with pytest.raises(NetcError, match=r"no `caffe.py` of netc"):
            site.remove(tmp_path)
        assert other.read_text() == "MINE = 1\n"

    def test_the_command(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(site.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
        assert site.main([]) == 0
        assert site.main(["--remove"]) == 0
        assert site.main(["--remove"]) == 1
        captured = capsys.readouterr()
        assert captured.out == f"wrote {tmp_path}/caffe.py\nremoved {tmp_path}/caffe.py\n"
        assert "E309" in captured.err
