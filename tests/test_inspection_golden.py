"""Three broken files for each finding that a prototxt can provoke, and what is said of them, word for word.

tests/golden/errors/CODE_N.prototxt and .txt; NETC_BLESS=1 rewrites the latter.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import netc
from netc.diagnostics import render
from netc.inspection.error_pages import codes
from tests.layers.meanings import register_upsample

FOLDER = Path(__file__).parent / "golden" / "errors"
FILES = sorted(path for path in FOLDER.glob("*.prototxt") if path.stem != "net")
NOT_OF_A_PROTOTXT = {"E001", "E005", "E100", "W039"}
"""A missing file, a hundred open braces, arguments."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_file_is_explained(path, golden, monkeypatch):
    monkeypatch.chdir(FOLDER)
    if path.stem.startswith(("E014", "W014")):
        register_upsample(monkeypatch, likely=path.stem.startswith("W"))
    found = netc.check(path.name)
    assert path.stem.split("_")[0] in {d.code for d in found}
    assert all(d.file == path.name and d.line for d in found)
    golden(f"errors/{path.stem}.txt", render(found) + "\n")


def test_every_finding_about_a_prototxt_has_three_files():
    wanted = {code for code in codes() if (code < "E106" or "W" < code < "W2") and code not in NOT_OF_A_PROTOTXT}
    counts = Counter(path.stem.split("_")[0] for path in FILES)
    wanted |= {"E106", "E204", "E601", "E602", "E603", "E604"}
    assert {code: counts[code] for code in wanted} == dict.fromkeys(wanted, 3)


def test_no_golden_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in FILES}
