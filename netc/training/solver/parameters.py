"""SolverParameter as a dataclass with Caffe's field names. Never imports torch."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netc.frontends.reading import empty_solver
from netc.ir.fields import Fields
from netc.training.solver.netc_options import NetcOptions
from netc.training.solver.snapshot_prefix import prefix_of

if TYPE_CHECKING:
    from netc.diagnostics import Diagnostic

EMPTY = empty_solver()


@dataclass(frozen=True)
class SolverParameters:
    """The fields of SolverParameter, with Caffe's defaults.

    Exactly one of `net`, `net_param`, `train_net` and `train_net_param` defines the train net.
    """

    net: str = ""
    """A file with the train net and, by its rules, the test nets."""
    net_param: Fields | None = None
    """As `net`, embedded in the solver."""
    train_net: str = ""
    test_net: tuple[str, ...] = ()
    train_net_param: Fields | None = None
    test_net_param: tuple[Fields, ...] = ()
    train_state: Fields = field(default_factory=lambda: Fields({}))
    """NetState merged into the train net's own."""
    test_state: tuple[Fields, ...] = ()
    """One for each test net, or none."""

    test_iter: tuple[int, ...] = ()
    """Number of batches for each test net: those of `test_net_param` and `test_net`, then test nets of `net`."""
    test_interval: int = 0
    """Iterations between tests; 0 disables testing."""
    test_compute_loss: bool = False
    test_initialization: bool = True
    """Whether to test before the first iteration too."""
    eval_type: str = "classification"
    """SSD: `detection` computes the mean average precision from outputs of DetectionEvaluate."""
    ap_version: str = "Integral"
    """SSD: how the average precision is computed: `11point`, `MaxIntegral` or `Integral`."""
    show_per_class_result: bool = False
    """SSD: whether the average precision of each class is logged."""

    base_lr: float = 0.0
    lr_policy: str = ""
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalue: tuple[int, ...] = ()
    plateau_winsize: tuple[int, ...] = ()
    """SSD and Intel, policy `plateau`: iterations without a new minimum of the loss after which the rate is reduced."""
    stagelr: tuple[float, ...] = ()
    """Policy `multifixed`: the rate of each stage."""
    stageiter: tuple[int, ...] = ()
    """The last iteration of each stage."""
    warmup_iter: int = 0
    """Intel: number of iterations in which the rate increases linearly from `warmup_start_lr` to `base_lr`."""
    warmup_start_lr: float = 0.0
    rampup_interval: int = 0
    """NVIDIA (0.17): number of iterations in which the rate increases quadratically from `rampup_lr` to `base_lr`."""
    rampup_lr: float = 0.0
    min_lr: float = 0.0
    """NVIDIA: the minimum rate, and the final rate of `poly` and `cosine`."""
    larc: bool = False
    """NVIDIA: adapt the rate of each parameter to the norms of its weights and gradients."""
    larc_policy: str = "scale"
    larc_eta: float = 0.001
    local_lr_auto: bool = False
    """Intel: as `larc`, with weight decay in the norm of the gradients."""
    local_gw_ratio: float = 0.001
    max_iter: int = 0
    iter_size: int = 1
    """Batches whose gradients are averaged for one update."""

    type: str = "SGD"
    """One of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam."""
    momentum: float = 0.0
    momentum_policy: str = "fixed"
    """NVIDIA, SGD and Nesterov: `poly` increases the momentum to `max_momentum`, `opt` derives it from the rate."""
    momentum_power: float = 1.0
    max_momentum: float = 0.99
    momentum2: float = 0.999
    delta: float = 1e-8
    rms_decay: float = 0.99
    weight_decay: float = 0.0
    regularization_type: str = "L2"
    clip_gradients: float = -1.0
    """Maximum L2 norm of all gradients together; negative disables clipping."""

    display: int = 0
    """Iterations between log lines; 0 disables them."""
    average_loss: int = 1
    """Number of iterations over which the logged loss is averaged."""
    debug_info: bool = False

    snapshot: int = 0
    """Iterations between snapshots; 0 disables them."""
    snapshot_prefix: str = ""
    snapshot_diff: bool = False
    snapshot_format: str = "BINARYPROTO"
    snapshot_after_train: bool = True

    solver_mode: str = "GPU"
    device_id: int = 0
    random_seed: int = -1
    """A negative value selects a random seed."""
    layer_wise_reduce: bool = True
    """Accepted and ignored; torch decides how to overlap communication."""
    weights: tuple[str, ...] = ()
    """Files to initialize the weights from, each copied by layer name."""

    netc_param: Fields = field(default_factory=lambda: Fields({}), repr=False)
    """The message of netc's own options; see `options`."""

    fields: Fields = field(default=EMPTY, repr=False, compare=False)
    """The message, with positions in its file."""
    warnings: tuple[Diagnostic, ...] = field(default=(), repr=False, compare=False)
    """The warnings of reading the file."""

    @functools.cached_property
    def options(self) -> NetcOptions:
        """The options that only netc has."""
        return NetcOptions.of(self.netc_param)

    @property
    def file(self) -> str | None:
        """The solver's file, None if it was not read from a file."""
        span = self.fields.span()
        return span.source.name if span else None

    @property
    def writes_snapshots(self) -> bool:
        """Whether a run writes snapshots without a request."""
        return bool(self.snapshot or self.snapshot_after_train or self.options.watch)

    @property
    def prefix(self) -> str:
        """The prefix of the names of snapshots; see `prefix_of`."""
        return prefix_of(self.snapshot_prefix, self.file)
