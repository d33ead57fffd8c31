"""State files that are made to break the reader: an error of ours, and no more memory than the file has bytes."""

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from netc.conversion.convert import convert
from netc.conversion.models import open_net
from netc.conversion.verify import verify
from netc.diagnostics import NetcError
from netc.weights import StateDict, read_any
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


def arrays(state, save_arrays=np.savez) -> bytes:
    file = io.BytesIO()
    save_arrays(file, **state)
    return file.getvalue()


def old_torch_file(state) -> bytes:
    """As torch before 1.6 wrote: pickles, not an archive."""
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


FILES = {"pt": torch_file(STATE), "safetensors": save(STATE), "npz": arrays(STATE), "old pt": old_torch_file(STATE)}


def outcome(path):
    """The tensors of a file that fills the net, or the code of the error."""
    try:
        content = read_any(path)
        open_net(write(path.parent, NET), path)
    except NetcError as error:
        return None, error.diagnostics[0].code
    return content.tensors if isinstance(content, StateDict) else None, None


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
    assert code in {None, "E306", "E401", "E402", "E403", "E404", "E405"}
    assert state is None or set(state) == set(STATE)


def test_an_archive_that_claims_to_span_disks(tmp_path):
    content = bytearray(FILES["pt"])
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
        assert code in {"E401", "E402", "E403"}


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


class Runs:
    """Its pickle creates a file when it is read."""

    def __reduce__(self):
        return Path.touch, (MARK,)


MARK = Path(tempfile.gettempdir()) / f"netc-test-pickle-{os.getpid()}"

HOSTILE = {
    "an extent that overflows": header({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 64]}}),
    "values that are not there": header({"w": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}),
    "a type that there is not": header({"w": {"dtype": "F7", "shape": [16], "data_offsets": [0, 64]}}),
    "a header that overruns": (2**60).to_bytes(8, "little") + b"{" + bytes(100),
    "a compressed archive": packed(torch_file({"w": torch.zeros(1 << 20)})),
    "one element without end": torch_file({"w": torch.zeros(1).expand(1 << 40)}),
    "a sparse tensor": torch_file({"w": torch.eye(3).to_sparse()}),
    "no tensors": torch_file({"w": [1, 2]}),
    "a pickle that runs code": pickle.dumps(Runs(), protocol=2),
    "a pickle that runs code, in an archive": arrays({"w": np.array([Runs()], object)}),
    "a pickle that is a tar archive": b"\x80\x02" + bytes(255) + b"ustar" + bytes(1000),
    "numbers without end": arrays({"w": np.zeros(1 << 26, np.uint8)}, np.savez_compressed),
    "no arrays": arrays({}),
    "text": arrays({"w": np.array(["a"])}),
    "complex numbers": torch_file({"w": torch.zeros(2, dtype=torch.complex64)}),
    "a checkpoint": torch_file({"state_dict": {"w": torch.zeros(2)}, "epoch": 3}),
    "a list": torch_file([torch.zeros(2)]),
    "many names": torch_file(OrderedDict((str(i), torch.zeros(1)) for i in range(2000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name, tmp_path):
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    state, code = outcome(path)
    assert state is None
    assert code in {"E306", "E402", "E403", "E405"}
    assert not MARK.exists()


def test_an_onnx_model_whose_names_are_not_text(tmp_path):
    pytest.importorskip("onnxruntime")
    net = write(tmp_path, NET)
    (model,) = convert(net, to="onnx", output=tmp_path / "m.onnx").files
    model.write_bytes(model.read_bytes().replace(b"data", b"da\xffa"))
    with pytest.raises(NetcError, match="as an ONNX model") as error:
        verify(net, model)
    assert error.value.diagnostics[0].code == "E403"
