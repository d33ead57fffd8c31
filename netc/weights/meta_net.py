"""Caffe2's MetaNetDef: the nets of a predictor, in a file of their own or under the first key of a minidb.

    1 blobs (1 key, 2 names...)   2 nets (1 key, 2 NetDef)   3 model   4 plans

Keys are those of `predictor_constants.proto`, and `_<name>` may follow. Source: `metanet.proto`, `predictor_utils.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netc.diagnostics import NetcError
from netc.weights.minidb import META, records
from netc.weights.wire import LENGTH, Wire, WireField

PREDICT, GLOBAL_INIT, PREDICT_INIT = "PREDICT_NET_TYPE", "GLOBAL_INIT_NET_TYPE", "PREDICT_INIT_NET_TYPE"
INPUTS, OUTPUTS = "INPUTS_BLOB_TYPE", "OUTPUTS_BLOB_TYPE"


@dataclass
class MetaNet:
    """The nets and lists of blobs of a predictor by key; a net is where its message starts and ends."""

    nets: dict[str, tuple[int, int]] = field(default_factory=dict)
    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def net(self, kind: str) -> tuple[int, int] | None:
        """The net of a kind; None if there is none. Raises NetcError E100 for several."""
        found = [key for key in self.nets if key == kind or key.startswith(f"{kind}_")]
        if len(found) > 1:
            raise NetcError("the file contains several models: " + ", ".join(f"`{key}`" for key in found))
        return self.nets[found[0]] if found else None

    def names(self, kind: str) -> frozenset[str]:
        """The blobs of every list of a kind."""
        lists = (names for key, names in self.blobs.items() if key == kind or key.startswith(f"{kind}_"))
        return frozenset(name for names in lists for name in names)


def meta_net(wire: Wire, kind: str) -> MetaNet | None:
    """The nets in a file whose content is `kind`, `minidb` or `meta_net`; None for a minidb without nets.

    Raises NetcError E403 or E405 for a damaged file.
    """
    if kind == "meta_net":
        return _decoded(wire, 0, len(wire.data))
    for record in records(wire):
        if record.key == META:
            for part in wire.fields(record.at, record.end):
                if part[:2] == (4, LENGTH):
                    return _decoded(wire, part.at, part.end)
    return None


def _decoded(wire: Wire, start: int, end: int) -> MetaNet:
    found = MetaNet()
    for part in wire.fields(start, end):
        if part.wire == LENGTH and part.number in (1, 2):
            wire.keep()
            inner = [one for one in wire.fields(part.at, part.end) if one.wire == LENGTH]
            key = "".join(wire.text(one) for one in inner if one.number == 1)
            values = [one for one in inner if one.number == 2]
            if part.number == 1:
                found.blobs[key] = tuple(_text(wire, one) for one in values)
            elif values:
                found.nets[key] = values[-1].at, values[-1].end
    return found


def _text(wire: Wire, part: WireField) -> str:
    wire.keep()
    return wire.text(part)
