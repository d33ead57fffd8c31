"""Verbs are found by the first line of their file."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from netc import cli
from netc.cli import netc, verb_help

CONTEXT = click.Context(netc)
VERBS = netc.list_commands(CONTEXT)


def test_files_without_a_verb_are_not_listed():
    assert {"check", "train", "weights"} <= set(VERBS)
    assert not {"options", "terminal", "streams", "training_listeners"} & set(VERBS)


def test_a_file_whose_first_line_names_another_verb_is_not_listed(tmp_path):
    for name, line in (("lint", '"""`netc lint FILE`: Lint files."""'), ("other", '"""`netc lint FILE`: Lint files.')):
        (tmp_path / f"{name}.py").write_text(line + "\n")
    assert verb_help(tmp_path / "lint.py") == "Lint files"
    assert verb_help(tmp_path / "other.py") is None


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_name_a_help_text_and_help_for_each_option(verb):
    command = netc.get_command(CONTEXT, verb)
    assert command is not None
    assert command.name == verb
    for each in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert each.help
        missing = [p.name for p in each.params if isinstance(p, click.Option) and not p.help]
        assert not missing


def test_help_imports_no_verb(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    assert cli.main(["--help"]) == 0
    assert "check         Find all errors in nets and solvers" in capsys.readouterr().out


def test_help_imports_no_library_of_nets():
    code = "import sys; from netc.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "google.protobuf", "netc.text", "netc.ir"} & set(done.stderr.split())
