"""What a campaign is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuzz.case import Case

MODELS = Path(__file__).resolve().parents[3] / "models"


class Campaign(ABC):
    """Makes inputs. The first line of the docstring is its line in the list of campaigns."""

    name: ClassVar[str]

    def __init__(self, corpus: Sequence[Path] = ()) -> None:
        """`corpus` are further definitions to begin from."""
        self.corpus = corpus

    @abstractmethod
    def case(self, rng: random.Random) -> Case:
        """Return a random input."""


def generator(campaign: str, seed: int, index: int) -> random.Random:
    """Return the generator of one input, so that each input can be generated again on its own."""
    return random.Random(f"{campaign}:{seed}:{index}")
