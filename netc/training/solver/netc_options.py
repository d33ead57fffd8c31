"""netc's own solver settings, in `netc_param`: common additions to Caffe's training.

Never imports torch.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.fields import Fields

CHOICES = {"amp": ("bf16", "fp16"), "precision": ("ieee", "tf32", "bf16"), "better": ("higher", "lower")}
"""The values of fields that accept only some strings."""
Problem = tuple[str, str, "str | None"]
"""The field, the message, and the help."""


@dataclass(frozen=True)
class NetcOptions:
    """NetcParameter's fields, see proto/caffe.proto; `netc train` has an option for each."""

    watch: str = ""
    """An output of a test net; the snapshot with its best value is kept as PREFIX_best."""
    better: str = ""
    """`higher` or `lower`; by default lower for a loss, else higher."""
    patience: int = 0
    """Stop after this number of consecutive tests without a better `watch`; 0 disables it."""
    keep: int = 0
    """The number of newest snapshots to keep; 0 keeps all."""
    ema_decay: float = 0.0
    """The decay of an exponential moving average of the weights, which is then tested; 0 disables it."""
    mix_up: float = 0.0
    """Both parameters of the Beta distribution of mix-up (Zhang et al. 2018); 0 disables it."""
    freeze: tuple[str, ...] = ()
    """Shell patterns of the names of layers to freeze."""
    rename: tuple[str, ...] = ()
    """`old=new`: copy layer `old` of a weights file to layer `new` of the net."""
    allow_mismatch: bool = False
    """Initialize layers by their fillers if their shapes differ from those in the weights file."""
    amp: str = ""
    """Mixed precision: `bf16` or `fp16`."""
    precision: str = ""
    """Precision of float32 products: `ieee`, `tf32` or `bf16`; by default PyTorch's."""
    compile: bool = False
    channels_last: bool = False
    deterministic: bool = False
    sync_batch_norm: bool = False
    """Normalize by the batches of all processes in BatchNorm."""
    skip_bad: bool = False
    """Replace records that cannot be used by the next good ones; the log counts them."""
    policy_after_warmup: bool = False
    """Let `lr_policy` count its iterations, and `max_iter`, from the end of the warm-up or ramp-up."""
    autocrop: bool = False
    """Compute the offsets of Crop layers without parameters from the net, as Caffe's branch of 2015 did."""

    @staticmethod
    def of(message: Fields) -> NetcOptions:
        """Return the options of a NetcParameter message."""
        values: dict[str, Any] = {name: message[name] for name in NAMES if name in message}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return NetcOptions(**values)

    @property
    def renames(self) -> dict[str, str]:
        """The new names by old name.

        >>> NetcOptions(rename=("fc8=fc8-flickr",)).renames
        {'fc8': 'fc8-flickr'}
        """
        return dict(pair.split("=", 1) for pair in self.rename)


NAMES = tuple(field.name for field in dataclasses.fields(NetcOptions))


def check_options(options: NetcOptions, fields: Fields, tests: int) -> Iterator[Diagnostic]:
    """Yield all errors in the options of a solver with `tests` test nets: E603."""
    for name, text, help in (*_values(options), *_early_stopping(options, tests)):
        yield Diagnostic("E603", text, fields.span(name) or fields.span(), help=help)


def _values(options: NetcOptions) -> Iterator[Problem]:
    for name, known in CHOICES.items():
        value = getattr(options, name)
        if value and value not in known:
            choices = ", ".join(f"`{choice}`" for choice in known)
            yield name, f"unknown value `{value}` of `{name}`", f"the values are {choices}"
    for name in ("patience", "keep", "mix_up"):
        value = getattr(options, name)
        if not (value >= 0 and math.isfinite(value)):
            yield name, f"`{name}` is {value:g}: it must be 0 or more", None
    if not 0 <= options.ema_decay < 1:
        yield "ema_decay", f"`ema_decay` is {options.ema_decay:g}: it must be 0 or more and less than 1", None
    for pair in options.rename:
        if not all(pair.partition("=")):
            yield "rename", f"`rename` is `{pair}`: it must be OLD=NEW", None


def _early_stopping(options: NetcOptions, tests: int) -> Iterator[Problem]:
    for name in ("patience", "better"):
        if getattr(options, name) and not options.watch:
            yield name, f"`{name}` without `watch`", "set `watch` to an output of a test net"
    if options.watch and not tests:
        yield "watch", "`watch` without a test net", "set `test_iter` and `test_interval`"
