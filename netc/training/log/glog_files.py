"""Log files as glog writes them into `log_dir`: one for each severity, with the messages of it and of higher ones.

logs/caffe.host.user.log.INFO.20261120-214635.19748
logs/caffe.INFO                                         a link to the newest
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from netc.files import reason_of
from netc.training.log.caffe_log import GlogWriter, severity
from netc.training.log.events import Event, Listener, WarningIssued, ignore

if TYPE_CHECKING:
    from collections.abc import Callable

SEVERITIES = ("INFO", "WARNING", "ERROR")


def severity_number(event: Event) -> int:
    """Return glog's number of an event's severity: 0 information, 1 warning, 2 error."""
    return "IWE".index(severity(event))


class GlogFiles:
    """A listener that appends Caffe's lines to files in a folder, which is created if it is missing.

    A file is created with its first message. If a file cannot be written, `on_failure` receives one warning and the
    other messages are dropped: a log must not end a training run.
    """

    def __init__(
        self,
        folder: str | Path,
        program: str = "netc",
        on_failure: Listener = ignore,
        now: Callable[[], datetime] = datetime.now,
        prefixed: bool = True,
    ) -> None:
        self.folder, self.program, self.on_failure, self.now = Path(folder), program, on_failure, now
        self.prefixed = prefixed
        self._files: dict[str, TextIO] = {}
        self._writers: dict[str, GlogWriter] = {}
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Write the lines of an event."""
        if self._failed:
            return
        try:
            for name in SEVERITIES[: severity_number(event) + 1]:
                self._writer(name)(event)
        except OSError as error:
            self._failed = True
            text = f"cannot write the log in `{self.folder}`: {reason_of(error)}; continuing without it"
            self.on_failure(WarningIssued(text))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # what a full disk did not accept was reported
                file.close()

    def _writer(self, name: str) -> GlogWriter:
        if name not in self._writers:
            self._files[name] = self._create(name)
            self._writers[name] = GlogWriter(self._files[name], self.now, self.prefixed)
        return self._writers[name]

    def _create(self, name: str) -> TextIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        host = platform.node() or "unknown"
        path = self.folder / (f"{self.program}.{host}.{_user()}.log.{name}.{self.now():%Y%m%d-%H%M%S}.{os.getpid()}")
        file = path.open("a", encoding="utf-8", errors="backslashreplace")
        file.write(
            f"Log file created at: {self.now():%Y/%m/%d %H:%M:%S}\n"
            f"Running on machine: {host}\n"
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
        )
        self._link(name, path)
        return file

    def _link(self, name: str, path: Path) -> None:
        """Link to the newest file, where the file system has links."""
        link = self.folder / f"{self.program}.{name}"
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)
            link.symlink_to(path.name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for its user
        return "unknown"
