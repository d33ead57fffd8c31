"""SolverParameter as a value: every field under Caffe's name. Never imports torch."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from netc.diagnostics import Diagnostic
from netc.frontends.reading import empty_solver
from netc.ir.fields import Fields
from netc.training.solver.netc_options import NetcOptions

EMPTY = empty_solver()


@dataclass(frozen=True)
class SolverParameters:
    """How to train: SolverParameter's fields, with Caffe's defaults.

    Exactly one of `net`, `net_param`, `train_net` and `train_net_param` gives the train net.
    """

    net: str = ""
    """A file with the train net and, under other rules, the test nets."""
    net_param: Fields | None = None
    """The same, written out in the solver."""
    train_net: str = ""
    test_net: tuple[str, ...] = ()
    train_net_param: Fields | None = None
    test_net_param: tuple[Fields, ...] = ()
    train_state: Fields = field(default_factory=lambda: Fields({}))
    """NetState merged into the train net's own."""
    test_state: tuple[Fields, ...] = ()
    """One for each test net, or none."""

    test_iter: tuple[int, ...] = ()
    """Batches of a test, for each test net; what is more than `test_net` and `test_net_param` are tests of `net`."""
    test_interval: int = 0
    """Iterations between tests; 0 is never."""
    test_compute_loss: bool = False
    test_initialization: bool = True
    """Test before the first iteration too."""

    base_lr: float = 0.0
    lr_policy: str = ""
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalue: tuple[int, ...] = ()
    plateau_winsize: tuple[int, ...] = ()
    """SSD's and Intel's, of policy `plateau`: iterations without a new least loss after which the rate steps down."""
    stagelr: tuple[float, ...] = ()
    """Of policy `multifixed`: the rate of each stage."""
    stageiter: tuple[int, ...] = ()
    """The last iteration of each stage."""
    warmup_iter: int = 0
    """Intel's: iterations in which the rate grows in a line from `warmup_start_lr` to `base_lr`."""
    warmup_start_lr: float = 0.0
    rampup_interval: int = 0
    """NVIDIA's (0.17): iterations in which it grows in a parabola from `rampup_lr` to `base_lr`."""
    rampup_lr: float = 0.0
    min_lr: float = 0.0
    """NVIDIA's: no rate is below it, and `poly` and `cosine` end in it."""
    larc: bool = False
    """NVIDIA's: each blob has a rate of its own, after the norms of its weights and gradients."""
    larc_policy: str = "scale"
    larc_eta: float = 0.001
    max_iter: int = 0
    iter_size: int = 1
    """Batches whose gradients are averaged for one update."""

    type: str = "SGD"
    """One of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam."""
    momentum: float = 0.0
    momentum2: float = 0.999
    delta: float = 1e-8
    rms_decay: float = 0.99
    weight_decay: float = 0.0
    regularization_type: str = "L2"
    clip_gradients: float = -1.0
    """Largest L2 norm of all gradients together; negative is no bound."""

    display: int = 0
    """Iterations between log lines; 0 is none."""
    average_loss: int = 1
    """How many iterations the logged loss is averaged over."""
    debug_info: bool = False

    snapshot: int = 0
    """Iterations between snapshots; 0 is none."""
    snapshot_prefix: str = ""
    snapshot_diff: bool = False
    snapshot_format: str = "BINARYPROTO"
    snapshot_after_train: bool = True

    solver_mode: str = "GPU"
    device_id: int = 0
    random_seed: int = -1
    """Negative takes one from the system."""
    layer_wise_reduce: bool = True
    """Accepted; torch overlaps communication as it sees fit."""
    weights: tuple[str, ...] = ()
    """Files to start from, each copied in by layer name."""

    netc_param: Fields = field(default_factory=lambda: Fields({}), repr=False)
    """netc's own settings, which `options` reads."""

    fields: Fields = field(default=EMPTY, repr=False, compare=False)
    """The message itself, with places in its file."""
    warnings: tuple[Diagnostic, ...] = field(default=(), repr=False, compare=False)
    """What was found when the file was read."""

    @functools.cached_property
    def options(self) -> NetcOptions:
        """The settings of netc's own."""
        return NetcOptions.of(self.netc_param)

    @property
    def file(self) -> str | None:
        """The solver's file, None where it came from no file."""
        span = self.fields.span()
        return span.source.name if span else None

    @property
    def prefix(self) -> str:
        """What names of snapshots begin with.

        A missing `snapshot_prefix` is the solver's file without its ending; a folder is completed by the file's name
        (`upgrade_proto.cpp`, UpgradeSnapshotPrefixProperty).
        """
        stem = Path(self.file).with_suffix("") if self.file else Path("solver")
        if not self.snapshot_prefix:
            return str(stem)
        if Path(self.snapshot_prefix).is_dir():
            return str(Path(self.snapshot_prefix) / stem.name)
        return self.snapshot_prefix
