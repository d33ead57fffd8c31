"""Exceptions of other libraries about files become diagnostics with the library's words."""

import pytest

from netc.diagnostics import Diagnostic, NetcError, Source, Span, visible
from netc.foreign import foreign_errors


class PanicException(BaseException):
    """As the panics of Rust libraries, which are not Exceptions."""


def raised(error: BaseException) -> Diagnostic:
    with pytest.raises(NetcError) as caught, foreign_errors("m.onnx", "an ONNX model"):
        raise error
    return caught.value.diagnostics[0]


@pytest.mark.parametrize("kind", [ValueError, EOFError, NotImplementedError, RecursionError, PanicException])
def test_any_exception(kind):
    found = raised(kind("wrong magic\nat byte 3"))
    assert (found.code, found.message) == ("E403", "cannot read `m.onnx` as an ONNX model")
    assert found.notes == (f"{kind.__name__}: wrong magic",)


def test_a_long_message_is_cut():
    assert len(raised(ValueError("x" * 5000)).notes[0]) == 200


def test_the_system_refuses():
    found = raised(PermissionError(13, "Permission denied", "m.onnx"))
    assert (found.code, found.message) == ("E401", "cannot read `m.onnx`: permission denied")
    assert raised(FileNotFoundError(2, "No such file or directory", "other")).code == "E403"


def test_memory_runs_out():
    assert raised(MemoryError()).code == "E405"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), NetcError("a", code="E999")])
def test_interrupts_and_diagnostics_pass(error):
    with pytest.raises(type(error)) as caught, foreign_errors("m.onnx", "an ONNX model"):
        raise error
    assert caught.value is error


def test_a_rendered_diagnostic_has_no_control_characters():
    text = 'name: "\x1b[31m\r\x9b" bad'
    source = Source("a\x1bb.prototxt\n", text)
    start = text.index("bad")
    shown = Diagnostic("E100", "`\x1b[2J\nerror[E999]`", Span(source, start, start + 3), ("a\rb",), "c\x07").render()
    assert all(line.isprintable() for line in shown.split("\n"))
    head, place, _, code, mark, *_ = shown.split("\n")
    assert head == r"error[E100]: `\x1b[2J\x0aerror[E999]`"
    assert place == r" --> a\x1bb.prototxt\x0a:1:" + str(start + 1)
    assert code[mark.index("^") :] == "bad"


def test_undecodable_bytes_are_shown_by_their_value():
    assert visible(b"a\xe9".decode("utf-8", "surrogateescape")) == "a\\xe9"
    assert visible("a\u202eb") == "a\\u202eb"
    assert visible("a\tb", keep="\t") == "a\tb"
