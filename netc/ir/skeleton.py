"""The joints and limbs for which nets of CMU's pose estimation are trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """A set of joints; each limb has two maps, each joint one."""

    stored: tuple[tuple[int, int], ...]
    """For each joint, the two joints in a database whose midpoint it is."""
    limbs: tuple[tuple[int, int], ...]
    """For each limb, the joints from which and to which it leads."""
    mirrored: tuple[tuple[int, int], ...]
    """The right and the left joint of each pair that is exchanged in a mirrored image."""
    knows_unlabeled: bool = False
    """Whether joints that a database marks as not labeled stay so; otherwise they count as visible."""

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.stored)

    @property
    def maps(self) -> int:
        """Number of maps of limbs and joints, without the background."""
        return 2 * len(self.limbs) + self.joints

    @property
    def joints_in_database(self) -> int:
        """The smallest number of joints of a person in a database."""
        return 1 + max(max(pair) for pair in self.stored)


def _pairs(first: str, second: str) -> tuple[tuple[int, int], ...]:
    return tuple(zip(map(int, first.split()), map(int, second.split()), strict=True))


_COCO_STORED = ("0 5 6 8 10 5 7 9 12 14 16 11 13 15 2 1 4 3", "0 6 6 8 10 5 7 9 12 14 16 11 13 15 2 1 4 3")
_COCO_LIMBS = ("1 8 9 1 11 12 1 2 3 2 1 5 6 5 1 0 0 14 15", "8 9 10 11 12 13 2 3 4 16 5 6 7 17 0 14 15 16 17")
_COCO_MIRRORED = ("2 3 4 8 9 10 14 16", "5 6 7 11 12 13 15 17")

COCO = Skeleton(_pairs(*_COCO_STORED), _pairs(*_COCO_LIMBS), _pairs(*_COCO_MIRRORED), knows_unlabeled=True)
"""18 joints of COCO, with a neck between the shoulders, and 19 limbs."""
MPI = Skeleton(
    _pairs("9 8 12 11 10 13 14 15 2 1 0 3 4 5 7", "9 8 12 11 10 13 14 15 2 1 0 3 4 5 6"),
    _pairs("0 1 2 3 1 5 6 1 14 8 9 14 11 12", "1 2 3 4 5 6 7 14 8 9 10 11 12 13"),
    _pairs("2 3 4 8 9 10", "5 6 7 11 12 13"),
)
"""15 joints of MPII, with a chest between its pelvis and its thorax, and 14 limbs."""
COCO_AND_FEET = Skeleton(
    _pairs(f"{_COCO_STORED[0]} 16 15 16 15", f"{_COCO_STORED[1]} 16 15 16 15"),
    _pairs(f"{_COCO_LIMBS[0]} 10 13 10 13", f"{_COCO_LIMBS[1]} 18 19 20 21"),
    _pairs(f"{_COCO_MIRRORED[0]} 18 20", f"{_COCO_MIRRORED[1]} 19 21"),
)
"""22 joints: COCO's and two per foot, which begin at the ankles, and 23 limbs."""

SKELETONS = {skeleton.maps: skeleton for skeleton in (COCO, MPI, COCO_AND_FEET)}
"""By number of maps, by which a layer chooses one."""
