"""How diagnostics are shown: each kind once, and no kind hides another; and what their exceptions are."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace

import pytest

import netc
from netc.diagnostics import Diagnostic, NetcError, NetcFileError, NetcMissingFileError, Source, Span, render

LINES = Source("net.prototxt", "x\n" * 400)


def error(message: str, line: int | None = None, code: str = "E010", source: Source = LINES) -> Diagnostic:
    return Diagnostic(code, message, Span(source, 2 * line - 2, 2 * line - 1) if line else None)


def heads(text: str) -> list[str]:
    """The first line of each diagnostic that is shown."""
    return re.findall(r"^(?:error|warning).*|^\.\.\..*", text, re.MULTILINE)


def test_equal_errors_are_one_with_the_lines_of_the_others():
    shown = render([error("unknown `A`", line) for line in (3, 5, 9)])
    assert heads(shown) == ["error[E010]: unknown `A`"]
    assert " --> net.prototxt:3:1\n" in shown
    assert shown.endswith("= note: 2 more like this: lines 5, 9")


def test_twenty_equal_errors_hide_no_other():
    shown = render([*(error("unknown `A`", line) for line in range(1, 31)), error("unknown `B`", 31)])
    assert heads(shown) == ["error[E010]: unknown `A`", "error[E010]: unknown `B`"]
    assert "29 more like this: lines 2, 3, " in shown
    assert shown.count("lines 2, ") == 1
    assert ", 21 and 9 others" in shown


def test_the_limit_counts_kinds():
    found = [error(f"unknown `A{index // 3}`", index + 1) for index in range(75)]
    shown = heads(render(found))
    assert shown == [*(f"error[E010]: unknown `A{kind}`" for kind in range(20)), "... and 15 more errors"]


def test_errors_that_differ_in_names_hide_no_other_sort():
    found = [error(f"no layer produces `{index}`", index + 1, "E011") for index in range(30)]
    found += [error(f"`{index}` expects 2 bottoms, got {index}", 50 + index, "E020") for index in range(2)]
    shown = heads(render(found))
    assert shown[17:] == [
        "error[E011]: no layer produces `17`",
        "error[E020]: `0` expects 2 bottoms, got 0",
        "error[E020]: `1` expects 2 bottoms, got 1",
        "... and 12 more errors",
    ]


def test_places_in_other_files_and_without_a_place():
    other = Source("other.prototxt", LINES.text)
    found = [error("a", 1), error("a", 4), error("a", 7, source=other), error("a", 8, source=other), error("b")]
    assert "3 more like this: line 4; other.prototxt: lines 7, 8" in render(found)
    assert render([error("b"), error("b")]) == "error[E010]: b\n  = note: 1 more like this"


def test_errors_and_warnings_of_one_message_are_two_kinds():
    assert heads(render([error("a", 1, "W001"), error("a", 2, "E001")])) == ["warning[W001]: a", "error[E001]: a"]


@pytest.mark.parametrize("caught", [ValueError, RuntimeError])
def test_every_error_is_what_code_for_caffe_catches(caught):
    with pytest.raises(caught, match=r"^kernel is larger$"):
        raise NetcError("kernel is larger")
    assert not isinstance(NetcError("kernel is larger"), OSError)


def test_errors_of_files_are_os_errors(tmp_path):
    missing = str(tmp_path / "missing.caffemodel")
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }')
    for call in (lambda: netc.load(missing + ".prototxt"), lambda: netc.load(net, missing)):
        with pytest.raises(FileNotFoundError, match="no such file") as caught:
            call()
        assert isinstance(caught.value, NetcError)
    with pytest.raises(OSError, match="directory") as folder:
        netc.load(tmp_path)
    assert type(folder.value) is NetcFileError


def test_errors_of_several_codes_are_of_no_subclass():
    file, other = error("cannot read `a`", code="E001"), error("unknown `B`")
    assert type(NetcError([file])) is NetcFileError
    assert type(NetcError([file, other])) is NetcError
    assert type(NetcError(iter([replace(file, missing=True)]))) is NetcMissingFileError


def test_text_of_an_error_has_positions():
    raised = NetcError([error("unknown `A`", 3), error("no net")])
    assert str(raised) == "net.prototxt:3:1: unknown `A`\nno net"
    assert str(raised.at(None, "a note")) == str(raised)
    helped = NetcError([replace(error("unknown `A`", 3), help="did you mean `B`?"), error("no net")])
    assert str(helped) == "net.prototxt:3:1: unknown `A`\nhelp: did you mean `B`?\nno net"


@pytest.mark.parametrize("code", ["E010", "E001"])
def test_errors_are_copied_and_sent_to_other_processes(code):
    raised = NetcError([error("unknown `A`", 3, code)])
    for other in (pickle.loads(pickle.dumps(raised)), copy.copy(raised)):
        assert type(other) is type(raised)
        assert str(other) == str(raised)
        assert other.render() == raised.render()
