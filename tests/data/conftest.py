"""The small images of these tests are read as large ones are: by several threads a batch."""

from __future__ import annotations

import pytest

from netc.data.pipeline import batch_assembly as chunks


@pytest.fixture(autouse=True)
def many_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_VALUES", 1)
