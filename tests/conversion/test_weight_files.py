"""Each weights file of a conversion is opened and parsed once."""

from pathlib import Path

import pytest

from netc import weights
from netc.conversion.convert import convert
from netc.weights import state_dict


@pytest.fixture
def parsed(monkeypatch):
    """The paths that are parsed, in order."""
    calls = []

    def counted(read):
        def call(path, *args, **kwargs):
            calls.append(Path(path).name)
            return read(path, *args, **kwargs)

        return call

    readers = ((weights, "read_caffemodel"), (weights, "read_caffemodel_hdf5"), (state_dict, "read_state_dict"))
    for module, name in readers:
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return calls


@pytest.mark.parametrize("to", ["safetensors", "caffe", "py"])
def test_a_caffemodel_is_parsed_once(mixed, tmp_path, parsed, to):
    net, trained, _ = mixed
    convert(net, trained, to=to, output=tmp_path / "out")
    assert parsed == [trained.name]


@pytest.mark.parametrize("misfits", ["refuse", "reshape"])
def test_a_caffemodel_that_holds_its_net_is_parsed_once(mixed, tmp_path, parsed, misfits):
    _, trained, _ = mixed
    convert(trained, to="caffe", output=tmp_path / "out", misfits=misfits)
    assert parsed == [trained.name]


@pytest.mark.parametrize("to", ["pt", "safetensors"])
def test_a_state_dict_is_loaded_once(mixed, tmp_path, parsed, to):
    net, trained, _ = mixed
    (state,) = convert(net, trained, to=to, output=tmp_path / f"state.{to}").files[:1]
    parsed.clear()
    convert(net, state, to="caffe", output=tmp_path / "out")
    assert parsed == [state.name]
