"""Settings of netc's own, `netc_param` of a solver: what people add to Caffe's training by hand.

Never imports torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netc.diagnostics import Diagnostic
from netc.ir.fields import Fields

WORDS = {"amp": ("bf16", "fp16"), "precision": ("ieee", "tf32", "bf16"), "better": ("higher", "lower")}
"""What fields of words may say."""
Fault = tuple[str, str, "str | None"]
"""The field, what is wrong with it, and what helps."""


@dataclass(frozen=True)
class NetcOptions:
    """NetcParameter's fields (proto/caffe.proto tells of each); `netc train` has a flag for each as well."""

    watch: str = ""
    """An output of a test net. The snapshot with its best value is kept as PREFIX_best."""
    better: str = ""
    """`higher` or `lower`; empty is lower for a loss, else higher."""
    patience: int = 0
    """Stop after so many tests in a row without a better `watch`; 0 is never."""
    keep: int = 0
    """How many of the newest snapshots stay; 0 is all."""
    ema_decay: float = 0.0
    """Of an exponential moving average of the weights, which tests use; 0 is none."""
    mix_up: float = 0.0
    """Both parameters of the Beta distribution that pairs of images are mixed by (Zhang et al. 2018); 0 is off."""
    freeze: tuple[str, ...] = ()
    """Patterns of layer names, as in a shell: these layers do not learn."""
    rename: tuple[str, ...] = ()
    """`old=new`: layer `old` of a weights file is the net's layer `new`."""
    allow_mismatch: bool = False
    """Layers whose blobs do not fit those of the weights file start afresh."""
    amp: str = ""
    """Mixed precision: `bf16` or `fp16`."""
    precision: str = ""
    """Of float32 products: `ieee`, `tf32` or `bf16`; empty is PyTorch's own."""
    compile: bool = False
    channels_last: bool = False
    deterministic: bool = False
    sync_batch_norm: bool = False
    """BatchNorm normalises by the batches of all processes."""
    skip_bad: bool = False
    """The next good record stands in for one that cannot be used; the log counts them."""

    @staticmethod
    def of(message: Fields) -> NetcOptions:
        """The options in a NetcParameter."""
        values: dict[str, Any] = {name: message[name] for name in NAMES if name in message}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return NetcOptions(**values)

    @property
    def renames(self) -> dict[str, str]:
        """New names by old ones.

        >>> NetcOptions(rename=("fc8=fc8-flickr",)).renames
        {'fc8': 'fc8-flickr'}
        """
        return dict(pair.split("=", 1) for pair in self.rename)


NAMES = tuple(field.name for field in dataclasses.fields(NetcOptions))


def check_options(options: NetcOptions, fields: Fields, tests: int) -> Iterator[Diagnostic]:
    """Every fault of the options of a solver with so many test nets: E603."""
    for name, text, help in (*_values(options), *_watching(options, tests)):
        yield Diagnostic("E603", text, fields.span(name) or fields.span(), help=help)


def _values(options: NetcOptions) -> Iterator[Fault]:
    for name, known in WORDS.items():
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


def _watching(options: NetcOptions, tests: int) -> Iterator[Fault]:
    for name in ("patience", "better"):
        if getattr(options, name) and not options.watch:
            yield name, f"`{name}` without `watch`", "name the output of a test net as `watch`"
    if options.watch and not tests:
        yield "watch", "`watch` without a test net", "give `test_iter` and `test_interval`"
