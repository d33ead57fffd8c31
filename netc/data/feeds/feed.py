"""The source of a data layer's tops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Feed(Protocol):
    """The tops of a data layer, pass by pass."""

    def next(self) -> tuple[Tensor, ...]:
        """Return the tops of the next pass. Raises NetcError for data that cannot be read."""

    def close(self) -> None:
        """Release threads and files."""


class LayerFeed(Feed, Protocol):
    """A feed that can continue where an earlier run stopped."""

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to continue with the same batches, as plain JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where a feed of the same layer returned this state."""

    def seek(self, batches: int) -> None:
        """Continue as if this number of batches had been read."""
