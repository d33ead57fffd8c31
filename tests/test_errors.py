"""The error pages of `netc explain`: one per code, and every example is run. NETC_BLESS=1 rewrites their output."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import netc
from netc.cli import main
from netc.inspection import explain
from netc.inspection.error_pages import FOLDER, codes
from tests import error_examples

ROOT = Path(__file__).parent.parent
CODE = re.compile(r'"([EW]\d{3})"')
PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLES = [
    (page.stem, block)
    for page in PAGES
    for block in re.findall(r"^```prototxt\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]

ALONG = {
    "E008": {"W003"},
    "E032": {"W030", "W033"},
    "E106": {"W002"},
    "W004": {"W020"},
    "W030": {"W033"},
    "W034": {"W020", "W031"},
    "W038": {"W020"},
}
"""What an example cannot do without: the file's age, files that are not here, the warning an error comes from."""


def used() -> set[str]:
    """Every code that netc's source gives to a finding."""
    return {code for path in (ROOT / "netc").rglob("*.py") for code in CODE.findall(path.read_text())}


def test_every_code_has_a_page_and_every_page_a_code():
    assert used() == {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_a_heading_an_explanation_an_example_and_an_action(page):
    text = page.read_text()
    assert re.match(rf"# {page.stem}: [a-zA-Z]", text)
    _, explanation, *_, action = text.split("\n\n")
    assert explanation.endswith(".")
    assert action.endswith(".\n")
    assert re.findall("^```(.*)$", text, re.MULTILINE) in (
        ["prototxt", "", "console", ""],
        ["console", ""],
        ["python", ""],
        ["text", ""],
    )
    assert all(line.strip() or not line for line in text.splitlines())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_output_of_an_example_is_that_of_its_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    error_examples.prepare(page.stem, monkeypatch)
    capsys.readouterr()
    text = page.read_text()
    for block in re.findall(r"^```prototxt\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        Path("example.prototxt").write_text(block)
    shown = re.search(r"^```(console|python|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    kind, block = shown.groups()
    source = [line for line in block.splitlines() if kind != "text" and line.startswith(PROMPTS[kind])]
    printed = {"console": run_console, "python": run_python, "text": run_produced}[kind](page.stem, source, capsys)
    found = "\n".join([*source, *findings(printed, page.stem)]) + "\n"
    assert f"[{page.stem}]" in found
    if os.environ.get("NETC_BLESS"):
        page.write_text(text.replace(block, found))
        return
    assert block == found, "NETC_BLESS=1 rewrites it: read the diff"


PROMPTS = {"console": ("$ ",), "python": (">>> ", "... ")}


def run_console(code, source, capsys) -> str:
    for line in source:
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "netc"
        status = main(arguments)
        assert status == (1 if code.startswith("E") else 0)
    return capsys.readouterr().err


def run_python(code, source, capsys) -> str:
    program = "\n".join(line[4:] for line in source) + "\n"
    try:
        exec(compile(program, f"{code}.md", "exec"), {})
    except netc.NetcError as error:
        return error.render()
    return capsys.readouterr().out


def run_produced(code, source, capsys) -> str:
    return error_examples.PRODUCE[code]().render()


def findings(printed: str, code: str) -> list[str]:
    """The lines of the findings of one code."""
    kept, shown = [], False
    for line in printed.splitlines():
        head = re.match(r"(?:error|warning)\[(\w+)\]", line)
        shown = head[1] == code if head else shown and re.match(r"\s|\d+ +\|", line) is not None
        kept += [line] * shown
    return kept


@pytest.mark.parametrize(("code", "text"), EXAMPLES, ids=[code for code, _ in EXAMPLES])
def test_an_example_gives_its_code_and_no_other(code, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error_examples.prepare(code, monkeypatch)
    Path("example.prototxt").write_text(text)
    assert {d.code for d in netc.check("example.prototxt")} - ALONG.get(code, set()) == {code}


def test_the_net_that_examples_of_solvers_refer_to_is_sound(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(error_examples.NET)
    assert netc.check(path) == []


def test_every_code_of_a_prototxt_has_an_example():
    shown = {code for code, _ in EXAMPLES}
    on_prototxt = {code for code in codes() if code < "E106" or "W" < code < "W2"} - {"E001", "E005", "E100", "W039"}
    assert on_prototxt <= shown


def test_explain_takes_any_case_and_names_the_nearest():
    assert explain("e010") == explain("E010")
    with pytest.raises(netc.NetcError) as caught:
        explain("E0100")
    assert caught.value.diagnostics[0].code == "E100"
