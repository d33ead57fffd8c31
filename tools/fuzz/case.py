"""One input of a campaign: files, and command lines to run in their directory."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Special = Literal["directory", "fifo", "socket", "loop"]
"""What is at a path instead of a regular file; a loop is a symbolic link to itself."""
Arguments = tuple[str, ...]
Stdout = Literal["kept", "full", "closed", "broken"]
"""What happens to standard output: kept, a full disk, closed, a pipe without a reader."""


@dataclass(frozen=True)
class Case:
    """An input. Paths are relative to the directory of the run; surrogates represent bytes that are not UTF-8."""

    files: dict[str, bytes]
    commands: tuple[Arguments, ...]
    """Arguments of netc, one command line after another."""
    special: dict[str, Special] = field(default_factory=dict)
    stdout: Stdout = "kept"
    file_size: int | None = None
    """The most bytes that a file may have: writing more fails, as on a full disk."""

    def write(self, directory: Path) -> None:
        """Create the files in `directory`."""
        for name, content in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, kind in self.special.items():
            _create(directory / name, kind)

    def save(self, directory: Path, fault: str = "") -> None:
        """Write the input so that `load` returns it; `fault` describes the fault that it caused."""
        files = directory / "files"
        files.mkdir(parents=True, exist_ok=True)
        replace(self, special={}).write(files)
        rest = {"commands": self.commands, "special": self.special, "stdout": self.stdout, "file_size": self.file_size}
        used = {key: value for key, value in {"fault": fault, **rest}.items() if value not in ("", None, {}, "kept")}
        (directory / "case.json").write_text(json.dumps(used, indent=1) + "\n")

    @property
    def size(self) -> int:
        """Bytes of the files and of the commands."""
        return sum(map(len, self.files.values())) + sum(len(word) for line in self.commands for word in line)

    @property
    def digest(self) -> str:
        """A short name for the content."""
        content = repr((sorted(self.files.items()), self.commands, self.special, self.stdout, self.file_size))
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def command_lines(text: str) -> tuple[Arguments, ...]:
    """Split lines into arguments, at white space.

    >>> command_lines("check net.prototxt\\n log a.log")
    (('check', 'net.prototxt'), ('log', 'a.log'))
    """
    return tuple(tuple(line.split()) for line in text.splitlines() if line.strip())


def load(directory: Path) -> Case:
    """Return the input that `Case.save` wrote. Raises OSError, ValueError."""
    rest = json.loads((directory / "case.json").read_text())
    rest.pop("fault", None)
    files = directory / "files"
    content = {str(path.relative_to(files)): path.read_bytes() for path in sorted(files.rglob("*")) if path.is_file()}
    return Case(content, tuple(map(tuple, rest.pop("commands"))), **rest)


def _create(path: Path, kind: Special) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))  # an address has at most 107 bytes
