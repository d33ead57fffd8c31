"""Definitions with changed words, numbers and brackets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.campaign import MODELS, Campaign
from fuzz.case import Case, command_lines
from fuzz.mutation import mutated_text, vocabulary_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

LARGEST = 40_000
"""Bytes of the largest definition to begin from."""
OTHERS = command_lines("""
    summary net.prototxt
    summary net.prototxt --format csv
    fmt --diff net.prototxt
    upgrade net.prototxt upgraded.prototxt
    diff net.prototxt first.prototxt
    check --format json net.prototxt
    check --strict net.prototxt
""")
"""Verbs that run after `check`, one for each input."""


class Text(Campaign):
    """Definitions with changed words, numbers and brackets."""

    name = "text"

    def __init__(self, corpus: Sequence[Path] = ()) -> None:
        super().__init__(corpus)
        paths = sorted(MODELS.rglob("*.prototxt")) + list(corpus)
        self.contents = [content for path in paths if len(content := path.read_bytes()) <= LARGEST]
        self.vocabulary = vocabulary_of(self.contents)

    def case(self, rng: random.Random) -> Case:
        """Return a definition with a few changes, and the original."""
        content = rng.choice(self.contents)
        changed = mutated_text(content, rng, self.vocabulary)
        if rng.random() < 0.05:
            changed += rng.choice(self.contents)
        commands = (("check", "net.prototxt"), rng.choice(OTHERS))
        return Case({"net.prototxt": changed, "first.prototxt": content}, commands)
