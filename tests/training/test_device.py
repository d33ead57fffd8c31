import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.device import choose_device
from netc.training.distributed.process_rank import ProcessRank
from netc.training.log import events
from netc.training.solver.settings import SolverSettings


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"model {index}")
        monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)

    return pretend


def chosen(gpu=None, **settings):
    reported = []
    return choose_device(SolverSettings(**settings), gpu, reported.append), reported


def test_the_solvers_mode(gpus):
    gpus(2)
    assert chosen(solver_mode="CPU")[0] == torch.device("cpu")
    assert chosen(solver_mode="GPU", device_id=1)[0] == torch.device("cuda", 1)
    assert chosen("0", solver_mode="CPU")[0] == torch.device("cuda", 0)


def test_without_a_gpu_the_cpu_is_used_with_one_warning(gpus):
    gpus(0)
    device, reported = chosen(solver_mode="GPU")
    assert device == torch.device("cpu")
    assert [type(event) for event in reported] == [events.WarningIssued, events.LogNote]
    assert chosen(solver_mode="CPU")[1] == [events.LogNote("caffe.cpp:197", "Use CPU.")]


@pytest.mark.parametrize(
    ("count", "gpu"), [(0, "0"), (0, "all"), (2, "2"), (2, "0,1"), (2, "x"), (2, "0,0"), (2, "1,2")]
)
def test_an_unknown_gpu(gpus, count, gpu):
    gpus(count)
    with pytest.raises(NetcError, match="GPU") as caught:
        chosen(gpu)
    assert caught.value.diagnostics[0].code == "E606"


def test_each_process_uses_its_own_gpu(gpus):
    gpus(4)
    for gpu, local_rank, index in [("all", 2, 2), ("3,1", 1, 1), (None, 3, 3)]:
        reported = []
        rank = ProcessRank(rank=5, world_size=8, local_rank=local_rank, from_torchrun=True)
        assert choose_device(SolverSettings(), gpu, reported.append, rank) == torch.device("cuda", index)
    with pytest.raises(NetcError, match="no GPU left for rank 5 of 8: this machine has 2 for all processes"):
        choose_device(SolverSettings(), "0,1", reported.append, rank)
