"""The pages behind `netc explain`: one for each code, and their examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netc
from netc.inspection import explain
from netc.inspection.error_pages import FOLDER, codes
from tests.layers.meanings import register_upsample

ROOT = Path(__file__).parent.parent
CODE = re.compile(r'"([EW]\d{3})"')
PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLES = [
    (page.stem, block)
    for page in PAGES
    for block in re.findall(r"^```prototxt\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]

NET = """
layer {
  name: "data"
  type: "DummyData"
  top: "data"
  top: "label"
  dummy_data_param { shape { dim: 2 dim: 5 } shape { dim: 2 } }
}
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
"""`net.prototxt`, to which the examples of solvers refer."""


ALONG = {
    "E008": {"W003"},
    "E032": {"W030", "W033"},
    "E106": {"W002"},
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
def test_a_page_has_a_heading_an_example_and_an_explanation(page):
    text = page.read_text()
    assert re.match(rf"# {page.stem}: [a-zA-Z]", text)
    assert text.count("```") == 2
    assert len(text.split("\n\n")) >= 3
    assert all(line.strip() or not line for line in text.splitlines())


@pytest.mark.parametrize(("code", "text"), EXAMPLES, ids=[code for code, _ in EXAMPLES])
def test_an_example_gives_its_code_and_no_other(code, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if code == "E014":
        register_upsample(monkeypatch)
    Path("net.prototxt").write_text(NET)
    Path("example.prototxt").write_text(text)
    assert {d.code for d in netc.check("example.prototxt")} - ALONG.get(code, set()) == {code}


def test_the_net_that_examples_of_solvers_refer_to_is_sound(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
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
