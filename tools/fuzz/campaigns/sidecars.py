"""Snapshots whose .netc.json was changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case
from fuzz.mutation import mutated_bytes, mutated_json

if TYPE_CHECKING:
    import random

SNAPSHOTS = ("auto", "snap_iter_4.solverstate")


class Sidecars(Campaign):
    """Snapshots whose .netc.json was changed."""

    name = "sidecars"

    def case(self, rng: random.Random) -> Case:
        """Return a run with a changed sidecar, to be resumed."""
        sound = {name: content for name, content in files().items() if "_iter_6" not in name and "hsnap" not in name}
        name = "snap_iter_4.netc.json"
        content = json.loads(sound[name])
        for _ in range(rng.choice((1, 1, 2, 4))):
            content = mutated_json(content, rng)
        data = json.dumps(content).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            data = mutated_bytes(data, rng)
        command = ("train", "--solver", "solver.prototxt", "--snapshot", rng.choice(SNAPSHOTS))
        return Case({**sound, name: data}, (command,))
