"""Batches that Caffe 1.0 itself read, from databases that its own tools made."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from netc.compiler import graph_of, record_shapes, resolver
from netc.data import open_source
from netc.frontends import read_net
from netc.ir.graph import State

REFERENCE = Path(__file__).parent.parent / "reference" / "data"
CASES = sorted(path.stem for path in (REFERENCE / "vectors").glob("*.prototxt"))


def test_the_cases_exist():
    assert len(CASES) == 15


@pytest.mark.parametrize("case", CASES)
def test_batches(case, monkeypatch):
    monkeypatch.chdir(REFERENCE)
    vectors = np.load(f"vectors/{case}.npz")
    net = read_net(f"vectors/{case}.prototxt")
    net.report.raise_errors()
    (node,) = (n for n in graph_of(net, State("TEST"), record_shapes).nodes if n.layer.is_data)
    tops = node.origin.tops
    source = open_source(node.layer, "TEST", resolve_path=resolver(node), tops=tops)
    source.configure(np.empty, normalize_on_host=True)
    with contextlib.closing(source):
        for number in range(len(vectors.files) // len(tops)):
            batch = source.next_batch()
            for top, found in zip(tops, batch.tops):
                wanted = vectors[f"{top}/{number}"]
                np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
