"""The README is true: its Python runs, its console output is what the commands print, its commands are CI's."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_python_blocks(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "README.md", "README.md", 0)
    assert len(test.examples) > 10
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)


BROKEN = """name: "broken"
input: "data"
input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }
layer {
  name: "pool1"
  type: "Poling"
  bottom: "data"
  top: "pool1"
}
"""


def test_the_error_that_it_shows(tmp_path):
    (tmp_path / "broken.prototxt").write_text(BROKEN)
    shown = re.search(r"\$ netc check broken.prototxt\n(.*?)```", TEXT, re.DOTALL).group(1)
    command = [sys.executable, "-m", "netc", "check", "broken.prototxt", "--ignore", "W033"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert shown.strip() in done.stderr


def test_ci_runs_its_two_commands():
    commands = [line.strip() for line in TEXT.splitlines() if line.startswith("    ") and ".venv/bin/pip" in line]
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(command in script for command in commands)


def test_the_table_of_layers_is_fresh():
    done = subprocess.run([sys.executable, "tools/generate_support_table.py", "--check"], cwd=ROOT)
    assert done.returncode == 0


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:netc|tools|models)/[\w/.]+)`", TEXT))))
def test_files_that_it_names_exist(path):
    assert (ROOT / path).exists()
