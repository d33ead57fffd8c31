"""State files that are made to break the reader: an error of ours, and no more memory than the file has bytes."""

import io
import json
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from netc.conversion.models import load_state, open_net, read_state
from netc.diagnostics import NetcError
from tests.conversion.nets import write
from tests.weights.test_hostile import mutated

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
"""
STATE = {"fc.weight": torch.arange(12.0).reshape(4, 3), "fc.bias": torch.ones(4)}


def torch_file(state) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


FILES = {"pt": torch_file(STATE), "safetensors": save(STATE)}


def outcome(path):
    """The state in a file where there is one, and the code of the error that comes out."""
    try:
        state = read_state(path)
        if state is not None:
            load_state(open_net(write(path.parent, NET)), state, str(path))
    except NetcError as error:
        return None, error.diagnostics[0].code
    return state, None


change = st.tuples(
    st.sampled_from(["set", "flip", "insert", "delete", "cut"]),
    st.integers(0, 120) | st.integers(0, 3000),
    st.integers(0, 255),
)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(FILES)), changes=st.lists(change, min_size=1, max_size=4))
def test_mutated_files(kind, changes, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(mutated(FILES[kind], changes))
    state, code = outcome(path)
    assert code in {None, "E306", "E402", "E403"}
    assert state is None or set(state) == set(STATE)


def test_an_archive_that_claims_to_span_disks(tmp_path):
    (kind,) = [name for name, content in FILES.items() if content[:2] == b"PK"]
    content = bytearray(FILES[kind])
    content[content.rindex(b"PK\x06\x07") + 16] = 2
    path = tmp_path / "disks"
    path.write_bytes(content)
    assert outcome(path) == (None, "E402")


@pytest.mark.parametrize("kind", FILES)
def test_every_cut_of_a_file(kind, tmp_path):
    path = tmp_path / "cut"
    for length in range(0, len(FILES[kind]), 7 if kind == "safetensors" else 61):
        path.write_bytes(FILES[kind][:length])
        state, code = outcome(path)
        assert state is None
        assert code in {None, "E402", "E403"}  # None: it is taken for no state at all


def header(entries: dict) -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


def packed(data: bytes) -> bytes:
    """The same archive, each file in it packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.infolist():
            new.writestr(one.filename, old.read(one))
    return file.getvalue()


HOSTILE = {
    "an extent that overflows": header({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 64]}}),
    "values that are not there": header({"w": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}),
    "a type that there is not": header({"w": {"dtype": "F7", "shape": [16], "data_offsets": [0, 64]}}),
    "a header that overruns": (2**60).to_bytes(8, "little") + b"{" + bytes(100),
    "a compressed archive": packed(torch_file({"w": torch.zeros(1 << 20)})),
    "one element without end": torch_file({"w": torch.zeros(1).expand(1 << 40)}),
    "a sparse tensor": torch_file({"w": torch.eye(3).to_sparse()}),
    "no tensors": torch_file({"w": [1, 2]}),
    "a list": torch_file([torch.zeros(2)]),
    "many names": torch_file(OrderedDict((str(i), torch.zeros(1)) for i in range(2000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name, tmp_path):
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    state, code = outcome(path)
    assert state is None
    assert code in ({None} if name == "a header that overruns" else {"E306", "E402", "E403"})
    if code is None:  # the reader of weights reports it
        with pytest.raises(NetcError):
            open_net(write(tmp_path, NET), path)
