"""tools/fuzz finds faults, makes their inputs smaller, and the inputs it once found hold today."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = sorted(path for path in (Path(__file__).parent / "findings").iterdir() if path.is_dir())
GOOD = b'name: "n" layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }\n'


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])


def run(case, directory):
    from fuzz.execution import run

    return run(case, directory)


def case(*commands, **more):
    from fuzz.case import Case

    return Case({"net.prototxt": GOOD}, commands, **more)


@pytest.fixture(scope="module")
def sandbox():
    sys.path.insert(0, str(ROOT / "tools"))
    from fuzz.sandbox import Sandbox

    box = Sandbox(seconds=60)
    yield box
    box.close()
    sys.path.remove(str(ROOT / "tools"))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: path.name)
def test_what_was_found_once_holds(finding, tmp_path, sandbox):
    from fuzz.case import load

    text = (finding / "case.json").read_text()
    isolated = "the process died" in text or "time limit" in text  # this process must live on
    fault = sandbox.run(load(finding)) if isolated else run(load(finding), tmp_path)
    assert fault is None, f"{fault.signature}\n{fault.detail}"


def test_a_sound_command_has_no_fault(tmp_path):
    assert run(case(("check", "net.prototxt"), ("summary", "net.prototxt")), tmp_path) is None


def planted(monkeypatch, action):
    """Let `netc check` do something else."""
    from netc.cli.check import command

    monkeypatch.setattr(command, "callback", action)


def test_a_traceback_is_a_fault_at_its_innermost_place(tmp_path, monkeypatch):
    from netc.text import parser

    def fails(*args, **kwargs):
        raise KeyError("planted")

    monkeypatch.setattr(parser._Parser, "run", fails)
    fault = run(case(("check", "net.prototxt")), tmp_path)
    assert fault.signature.startswith("check: KeyError in text/")


def test_an_unknown_exit_status_is_a_fault(tmp_path, monkeypatch):
    planted(monkeypatch, lambda **_: sys.exit(7))
    assert run(case(("check", "net.prototxt")), tmp_path).signature == "check: exit status 7"


def test_a_failure_without_a_message_is_a_fault(tmp_path, monkeypatch):
    planted(monkeypatch, lambda **_: sys.exit(1))
    assert run(case(("check", "net.prototxt")), tmp_path).signature == "check: exit status 1 without a message"


def test_a_control_character_is_a_fault(tmp_path, monkeypatch):
    planted(monkeypatch, lambda **_: print("a\x1b[31mb"))
    assert "control character '\\x1b'" in run(case(("check", "net.prototxt")), tmp_path).signature


def test_a_temporary_file_that_stays_is_a_fault(tmp_path, monkeypatch):
    planted(monkeypatch, lambda **_: Path(".net.tmp").touch())
    fault = run(case(("check", "net.prototxt")), tmp_path)
    assert (fault.signature, fault.detail) == ("check: leaves a temporary file", ".net.tmp")


def test_an_input_is_made_smaller_while_its_fault_stays():
    from fuzz.minimize import minimized

    first = case(("summary", "net.prototxt"), ("check", "net.prototxt"))
    smallest = minimized(
        first, lambda c: b"dim" in c.files.get("net.prototxt", b"") and ("check", "net.prototxt") in c.commands
    )
    assert smallest.commands == (("check", "net.prototxt"),)
    assert smallest.files["net.prototxt"].strip() == b"dim:"


def test_a_case_is_saved_and_loaded(tmp_path):
    from fuzz.case import load

    first = case(("check", "a\udcff"), special={"fifo": "fifo"}, stdout="full", file_size=3)
    first.save(tmp_path)
    assert load(tmp_path) == first


def test_equal_seeds_make_equal_inputs():
    from fuzz.campaigns.campaign import generator
    from fuzz.campaigns.text import Text

    campaign = Text()
    assert campaign.case(generator("text", 1, 5)) == campaign.case(generator("text", 1, 5))
    assert campaign.case(generator("text", 1, 5)) != campaign.case(generator("text", 1, 6))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text", "layers", "files", "sidecars", "names", "paths", "disk"])
def test_a_short_campaign_finds_nothing(name, tmp_path):
    from fuzz.command import CAMPAIGNS, Run

    assert Run(CAMPAIGNS[name](), 0, 60.0, tmp_path).run(20, 8.0, 1) == 0, list(tmp_path.rglob("fault.txt"))
