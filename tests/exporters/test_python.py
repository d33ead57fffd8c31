"""Nets as .py files: the same results, in a process that has no netc, whatever the layers are called."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from netc.conversion.models import net_of
from netc.diagnostics import NetcError
from netc.exporters.input_stage import InputStage
from netc.exporters.python import functions, source_of
from netc.exporters.python.names import Identifiers
from netc.exporters.python.rules import constructor
from netc.layers import registry
from netc.passes.drop_identities import drop_identities
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.runtime.modules import LayerModule
from tests.conversion.nets import HOSTILE, MIXED, close, hostile_net, inputs_of, trained, write

RUN = """
import json, sys
sys.modules["netc"] = None  # any import of it fails
sys.path.insert(0, sys.argv[1])
import numpy, torch
import exported
net = exported.load()
assert not net.training
for name in sys.argv[2:]:
    with torch.no_grad():
        result = net(*(torch.from_numpy(array) for array in numpy.load(name).values()))
    result = {"only": result} if isinstance(result, torch.Tensor) else result
    numpy.savez(name.replace(".npz", "_out.npz"), *(tensor.numpy() for tensor in result.values()))
print(json.dumps(sorted(name for name in sys.modules if name.startswith("netc") and sys.modules[name])))
"""


def written(folder, model, **settings):
    """The text of a model's file, which is in `folder` with its weights."""
    text, state = source_of(model, "exported.safetensors", **settings)
    (folder / "exported.py").write_text(text, encoding="utf-8")
    save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, folder / "exported.safetensors")
    return text


def run_apart(folder, feeds):
    """The outputs of the file in `folder` for each of `feeds`, computed in a process without netc."""
    names = []
    for index, feed in enumerate(feeds):
        names.append(str(folder / f"in{index}.npz"))
        np.savez(names[-1], *feed.values())
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(folder), *names], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    return [list(np.load(name.replace(".npz", "_out.npz")).values()) for name in names]


@pytest.mark.parametrize("folded", [False, True])
def test_a_file_returns_the_results_of_the_net_without_netc(tmp_path, folded):
    model = trained(write(tmp_path, MIXED))
    net = net_of(model)
    graph = drop_identities(model)
    written(tmp_path, fold_batch_norm(graph) if folded else graph)
    feeds = [inputs_of(model, 1), inputs_of(model, 3)]
    for feed, found in zip(feeds, run_apart(tmp_path, feeds)):
        expected = net.run(feed)["prob"]
        assert close(expected, found[0])


def test_hostile_names_are_comments_and_keys(tmp_path):
    model = trained(write(tmp_path, hostile_net()))
    text = written(tmp_path, model)
    feed = inputs_of(model, 2)
    (found,) = run_apart(tmp_path, [feed])
    (expected,) = net_of(model).run({model.values[n].blob: a for n, a in feed.items()}).values()
    assert close(expected, found[0])
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert "os" not in names
    assert "SystemExit" not in names
    for name in HOSTILE:
        assert f"# {name!r}" in text
    assert text.isprintable() or all(line.isprintable() for line in text.split("\n"))


def test_a_layer_that_cannot_be_exported_is_an_error_at_its_line(tmp_path):
    dump = 'bottom: "sum" bottom: "prob" hdf5_output_param { file_name: "out.h5" }'
    text = MIXED + f'layer {{ name: "dump" type: "HDF5Output" {dump} }}\n'
    model = trained(write(tmp_path, text))
    with pytest.raises(NetcError) as caught:
        source_of(model, "w.safetensors")
    (found,) = caught.value.diagnostics
    assert found.code == "E801"
    assert "`HDF5Output`" in found.message
    assert found.line == text.count("\n")
    assert "layer `dump`" in found.notes


def test_the_input_stage_converts_images_to_the_input_of_the_net(tmp_path):
    model = trained(write(tmp_path, MIXED))
    mean = np.array([10.0, 20.0, 30.0], np.float32).reshape(3, 1, 1)
    text = written(tmp_path, model, stage=InputStage(True, mean, 0.5))
    space: dict = {"__file__": str(tmp_path / "exported.py")}
    exec(compile(text, "exported.py", "exec"), space)
    images = np.random.default_rng(0).integers(0, 256, (2, 23, 19, 3), np.uint8)
    found = space["load"]().prepare(torch.from_numpy(images)).numpy()
    expected = (images.transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32) - mean) * 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_half_precision_loads_in_half_precision(tmp_path):
    model = trained(write(tmp_path, MIXED))
    text = written(tmp_path, model, dtype="bfloat16")
    assert "Net().to(torch.bfloat16)" in text


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "floor"),
    [((3, 2), (2, 3), (1, 0), False), ((2, 2), (4, 3), (0, 0), False), ((3, 3), (2, 2), (2, 2), False),
     ((3, 3), (2, 2), (2, 1), True), ((1, 1), (2, 2), (0, 0), False)],
)  # fmt: skip
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_pooling_functions_count_caffes_windows(pool, kernel, stride, pad, floor):
    layer = registry()["Pooling"](pool, kernel, stride, pad, "FLOOR" if floor else "CEIL")
    x = torch.randn(2, 3, 10, 8, generator=torch.Generator().manual_seed(0))
    expected = LayerModule(layer, (), 1)(x)
    function = functions.max_pool if pool == "MAX" else functions.average_pool
    torch.testing.assert_close(function(x, kernel, stride, pad, floor), expected, equal_nan=True)


def test_a_constructor_recreates_its_module():
    nn = torch.nn
    modules = [
        nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), (1, 2), 2, bias=False), nn.ConvTranspose3d(2, 4, 2, 2, groups=2),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, 1, ceil_mode=True), nn.AdaptiveMaxPool2d(1), nn.ELU(0.3),
        nn.LeakyReLU(0.2), nn.PReLU(3), nn.Softmax(dim=2), nn.Flatten(1, 2), nn.Dropout(0.3), nn.Sigmoid(), nn.Tanh(),
        nn.Softplus(threshold=50), nn.SiLU(), nn.Linear(3, 2),
    ]  # fmt: skip
    for module in modules:
        again = eval(constructor(module), {"nn": nn})
        hidden = lambda one: {k: v for k, v in vars(one).items() if not k.startswith("_")}
        assert hidden(again) == hidden(module)
        assert {k: v.shape for k, v in again.state_dict().items()} == {
            k: v.shape for k, v in module.state_dict().items()
        }


def test_identifiers_are_valid_and_unique():
    names = Identifiers(["forward"])
    made = [names.make(name) for name in (*HOSTILE, *HOSTILE, "forward", "conv1/3x3", "conv1.3x3")]
    assert len(set(made)) == len(made)
    assert all(name.isidentifier() and name.isascii() for name in made)
    assert not {"class", "self", "forward"} & set(made) - {"self"}
