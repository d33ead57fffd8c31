"""Settings of netc's own, `netc_param` of a solver: what people add to Caffe's training by hand. Never imports torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netc.diagnostics import Diagnostic
from netc.ir.fields import Fields

AMP = ("bf16", "fp16")
PRECISIONS = ("ieee", "tf32", "bf16")
BETTER = ("higher", "lower")


@dataclass(frozen=True)
class Options:
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

    @staticmethod
    def of(message: Fields) -> Options:
        """The options in a NetcParameter."""
        values = {name: message[name] for name in NAMES if name in message}
        return Options(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    @property
    def renames(self) -> dict[str, str]:
        """New names by old ones.

        >>> Options(rename=("fc8=fc8-flickr",)).renames
        {'fc8': 'fc8-flickr'}
        """
        return dict(pair.split("=", 1) for pair in self.rename)


NAMES = tuple(field.name for field in dataclasses.fields(Options))


def check_options(options: Options, fields: Fields, policy: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Every fault of the options: E603. `policy` holds what else the solver says, by name."""

    def wrong(name: str, text: str, help: str | None = None, index: int = 0) -> Diagnostic:
        place = fields.span(name, index) or fields.span()
        return Diagnostic("E603", text, place, help=help)

    for name, known in (("amp", AMP), ("precision", PRECISIONS), ("better", BETTER)):
        value = getattr(options, name)
        if value and value not in known:
            choices = ", ".join(f"`{choice}`" for choice in known)
            yield wrong(name, f"unknown value `{value}` of `{name}`", f"the values are {choices}")
    for name in ("patience", "keep", "mix_up"):
        value = getattr(options, name)
        if not (value >= 0 and math.isfinite(value)):
            yield wrong(name, f"`{name}` is {value:g}: it must be 0 or more")
    if not 0 <= options.ema_decay < 1:
        yield wrong("ema_decay", f"`ema_decay` is {options.ema_decay:g}: it must be 0 or more and less than 1")
    for index, pair in enumerate(options.rename):
        old, _, new = pair.partition("=")
        if not old or not new:
            yield wrong("rename", f"`rename` is `{pair}`: it must be OLD=NEW", index=index)
    for name in ("patience", "better"):
        if getattr(options, name) and not options.watch:
            yield wrong(name, f"`{name}` without `watch`", "name the output of a test net as `watch`")
    if options.watch and not policy["test_iter"]:
        yield wrong("watch", "`watch` without a test net", "give `test_iter` and `test_interval`")
