"""The boundary to other libraries that read files: any exception of theirs about a file becomes a diagnostic.

with foreign_errors(path, "an ONNX model"):
    model = onnx.load(path)
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WORDS = 200
"""Limit of the characters that are quoted of a library's message."""


@contextlib.contextmanager
def foreign_errors(path: str | os.PathLike[str], kind: str, code: str = "E403") -> Iterator[None]:
    """Raise NetcError for any exception in the block, which reads the file `path` as `kind` ("an ONNX model").

    The code is E401 if the system refuses to open the file, E405 if the memory does not suffice, otherwise `code`; a
    note quotes the library. NetcError and interrupts pass unchanged. A panic of a Rust library, which is not an
    Exception, becomes a diagnostic too.
    """
    name = os.fspath(path)
    try:
        yield
    except (NetcError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as error:
        raise NetcError(f"reading `{name}` needs more memory than there is", code="E405") from error
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and _concerns(error, name):
            missing = isinstance(error, FileNotFoundError)
            raise NetcError(f"cannot read `{name}`: {reason_of(error)}", code="E401", missing=missing) from error
        raise NetcError(f"cannot read `{name}` as {kind}", code=code, notes=[words(error)]) from error


def words(error: BaseException) -> str:
    """The first line of an exception's message, after the name of its type.

    >>> words(KeyError("graph"))
    "KeyError: 'graph'"
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:MAX_WORDS] if lines else type(error).__name__


def _concerns(error: OSError, name: str) -> bool:
    return error.filename is not None and os.fsdecode(error.filename) == name
