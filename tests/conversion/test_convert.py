"""`convert`: every format has the net's results for any layer names, and no code of a file runs."""

import pytest
import torch

from netc.conversion.convert import convert
from netc.conversion.models import net_of, open_net
from netc.conversion.verify import verify
from netc.conversion.writers import write_caffe
from netc.diagnostics import NetcError
from tests.conversion.nets import close, hostile_net, inputs_of, trained, write


@pytest.mark.parametrize("to", ["safetensors", "pt"])
def test_a_state_dict_is_read_back_bit_for_bit(mixed, tmp_path, to):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to=to, output=tmp_path / "state")
    expected = open_net(prototxt, weights).state_dict()
    found = open_net(prototxt, done.files[0]).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize("fold", [False, True])
def test_every_form_agrees_at_two_batch_sizes(mixed, tmp_path, fold):
    prototxt, weights, _ = mixed
    for to in ("onnx", "py"):
        done = convert(prototxt, weights, to=to, output=tmp_path / f"out.{to}", fold=fold)
        for batch in (1, 3):
            found = verify(prototxt, done.files[0], weights=weights, batch=batch)
            assert found.agrees, found.first
            assert {"prob", "fc", "join", "conv1.2"} <= {one.name for one in found.differences}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_program_agrees(mixed, tmp_path):
    prototxt, weights, model = mixed
    done = convert(prototxt, weights, to="pt2", output=tmp_path / "out")
    program = torch.export.load(done.files[0]).module()
    for batch in (1, 3):
        feed = inputs_of(model, batch)
        found = program(torch.from_numpy(feed["data"]))["prob"].detach().numpy()
        assert close(net_of(model).run(feed)["prob"], found)


@pytest.mark.parametrize("half", ["fp16", "bf16"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_program_in_half_precision(mixed, tmp_path, half):
    prototxt, weights, model = mixed
    done = convert(prototxt, weights, to="pt2", output=tmp_path / "out", half=half)
    program = torch.export.load(done.files[0]).module()
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}[half]
    assert {parameter.dtype for parameter in program.parameters()} == {kind}
    for batch in (1, 3):
        feed = inputs_of(model, batch)
        found = program(torch.from_numpy(feed["data"]).to(kind))["prob"]
        assert found.dtype == kind
        expected = net_of(model).run(feed)["prob"]
        assert close(expected, found.detach().float().numpy(), 0.03 if half == "fp16" else 0.15)


@pytest.mark.parametrize("to", ["py", "onnx", "caffe", "safetensors", "pt"])
def test_hostile_names_through_every_exporter(tmp_path, to):
    path = write(tmp_path, hostile_net())
    model = trained(path)
    prototxt, weights = write_caffe(model, tmp_path / "hostile.prototxt")
    done = convert(prototxt, weights, to=to, output=tmp_path / "out")
    if to in ("py", "onnx"):
        assert verify(prototxt, done.files[0], weights=weights, batch=2).agrees
    else:
        net = prototxt if to != "caffe" else done.files[0]
        found = open_net(net, done.files[1] if to == "caffe" else done.files[0])
        feed = {model.values[n].blob: a for n, a in inputs_of(model, 2).items()}
        assert close(*[next(iter(one.run(feed).values())) for one in (net_of(model), found)], 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hostile_names_through_torch_export(tmp_path):
    model = trained(write(tmp_path, hostile_net()))
    prototxt, weights = write_caffe(model, tmp_path / "hostile.prototxt")
    program = torch.export.load(convert(prototxt, weights, to="pt2", output=tmp_path / "out").files[0]).module()
    (feed,) = inputs_of(model, 3).values()
    (expected,), (found,) = net_of(model).run({'in"put': feed}).values(), program(torch.from_numpy(feed)).values()
    assert close(expected, found.detach().numpy())


def test_half_precision_is_an_error_for_formats_without_it(mixed, tmp_path):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to="safetensors", output=tmp_path / "half", half="bf16")
    from safetensors.torch import load_file

    assert {tensor.dtype for tensor in load_file(done.files[0]).values()} == {torch.bfloat16}
    for to in ("caffe", "onnx"):
        with pytest.raises(NetcError) as caught:
            convert(prototxt, weights, to=to, output=tmp_path / "half", half="bf16")
        assert caught.value.diagnostics[0].code == "E803"


def test_losses_are_omitted_from_exported_models(mixed, tmp_path):
    prototxt, weights, _ = mixed
    text = prototxt.read_text().replace('top: "data"', 'top: "data"', 1)
    text += 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    done = convert(write(tmp_path, text, "loss.prototxt"), weights, to="py", output=tmp_path / "deploy.py")
    assert "def forward(self, data: Tensor)" in done.files[0].read_text()


def test_a_state_dict_of_another_net_is_an_error(mixed, tmp_path):
    prototxt, _, _ = mixed
    torch.save({"fc.weight": torch.zeros(5, 252)}, tmp_path / "few.pt")
    with pytest.raises(NetcError, match=r"lacks \d+ tensors"):
        open_net(prototxt, tmp_path / "few.pt")
    torch.save({"fc.weights": torch.zeros(5, 252)}, tmp_path / "other.pt")
    with pytest.raises(NetcError, match=r"`fc.weights`"):
        open_net(prototxt, tmp_path / "other.pt")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_state_dict_runs_no_code(mixed, tmp_path, capsys):
    prototxt, _, _ = mixed
    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(NetcError, match="as a state_dict of tensors"):
        open_net(prototxt, tmp_path / "bomb.pt")
    assert "unpickled" not in capsys.readouterr().out
