"""The small pictures of these tests are read as large ones are: by several threads a batch."""

from __future__ import annotations

import pytest

from netc.data import prefetch


@pytest.fixture(autouse=True)
def many_chunks(monkeypatch):
    monkeypatch.setattr(prefetch, "SMALLEST_VALUES", 1)
