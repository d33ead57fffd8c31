"""The state that a caller requests, to be merged with the one in the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netc.ir.fields import Fields

if TYPE_CHECKING:
    from netc.frontends.definition import NetDefinition
    from netc.ir.graph import Phase, State


@dataclass(frozen=True)
class StateChoice:
    """A phase, with changes to the state that a net file specifies.

    The phase replaces the one in the file, and the stages are added to those in the file, as by Caffe's Net
    (`net.cpp`, Net::Net). A level replaces the one in the file only if it is passed: Caffe's Net would replace it by 0.
    """

    phase: Phase = "TEST"
    level: int | None = None
    stages: tuple[str, ...] = ()
    autocrop: bool = False
    """See `State`."""

    def of(self, net: NetDefinition) -> State:
        """Return the state of a net.

        >>> from netc.diagnostics import Source
        >>> from netc.frontends import read_net
        >>> net = read_net(Source("net", 'state { phase: TRAIN level: 2 stage: "a" }'))
        >>> StateChoice("TEST", stages=("b",)).of(net)
        State(phase='TEST', level=2, stages=('a', 'b'))
        """
        changes: dict[str, Any] = {"phase": self.phase, "stage": self.stages}
        if self.level is not None:
            changes["level"] = self.level
        return replace(net.state(self.phase, Fields(changes)), autocrop=self.autocrop)


TEST_STATE = StateChoice()
"""The test net, in the state that its file specifies."""
