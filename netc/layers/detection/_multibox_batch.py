"""SSD's MultiBoxLoss of one batch: matches priors with objects, mines others, and adds the losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.layers._labels import bounded
from netc.layers.cross_entropy import LARGEST
from netc.layers.detection._multibox_parameters import MultiBoxParameters
from netc.layers.detection._predictions import split_priors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[Any]

SMALL = 1e-5
"""Boxes with a smaller area are never mined where boxes are suppressed."""


@dataclass
class Matched:
    """The objects that the priors of an image have for the boxes of one class."""

    image: int
    column: int
    """The index of the boxes; 0 if all classes share them."""
    objects: Array
    """For each prior a row of the ground truth, -1 without a match, -2 for a prior that takes no part."""
    overlaps: Array
    """For each prior the overlap with its object, or the largest one."""


class MultiBoxBatch:
    """The bottoms of one pass in their shapes: codes (n, p, k, 4), scores (n, p, c), priors (1 or n, p, 4)."""

    def __init__(self, layer: MultiBoxParameters, bottoms: Sequence[Tensor], labels: Tensor, least: float) -> None:
        images = bottoms[1].shape[0]
        self.layer, self.labels, self.least = layer, labels.cpu(), least
        self.scores = bottoms[1].reshape(images, -1, layer.num_classes)
        self.codes = bottoms[0].reshape(images, self.scores.shape[1], -1, 4)
        self.plain, self.variances = split_priors(bottoms[2].detach())
        truth = bottoms[3].detach().reshape(-1, 8)
        self.objects = truth[:, 3:7].to(self.plain)
        skipped = (truth[:, 7] != 0) & (not layer.use_difficult_gt)
        self.image_of = truth[:, 0].trunc().masked_fill(skipped, -1).cpu().numpy()
        self.objectness = bottoms[4].detach().reshape(images, -1, 2)[..., 1] if len(bottoms) > 4 else None
        self.priors = self.plain.unsqueeze(0)
        if len(bottoms) > 5:
            self.priors = self._decoded(bottoms[5].detach().reshape(images, -1, 4), self.plain)

    def loss(self) -> Tensor:
        """Return the loss."""
        matched, negatives = list(self._matched()), None
        if self.layer.mining_type != "NONE":
            negatives = self._mined(matched)
        found = self._positives(matched)
        codes = self.layer.loc_weight * self._loss_of_codes(*found, self.priors).sum()
        scores = self._loss_of_all_scores(found) if negatives is None else self._loss_of_scores(found, negatives)
        of_codes, of_scores = self.layer.parts
        total = codes * of_codes + scores * of_scores
        return total / self._normalizer(len(found[0]))

    def _normalizer(self, matches: int) -> int:
        images, priors = self.scores.shape[:2]
        divisors = {"FULL": images * priors, "VALID": matches, "BATCH_SIZE": images}
        return max(1, divisors.get(self.layer.normalization, 1))

    # ------------------------------------------------------------------ matching

    def _matched(self) -> Iterator[Matched]:
        """Match the objects of each image that has any."""
        import numpy as np

        classes = 1 if self.layer.share_location else self.layer.num_classes
        for image in range(len(self.scores)):
            rows = np.flatnonzero(self.image_of == image)
            if not len(rows):
                continue
            if self.layer.use_prior_for_matching:
                found = self._match(image, 0, self.priors[image % len(self.priors)], rows)
                yield from [found] if self.layer.share_location else self._of_classes(found)
                continue
            for c in range(classes):
                if self.layer.share_location or c != self.layer.background_label_id:
                    own = rows if self.layer.share_location else rows[(self.labels[rows] == c).numpy()]
                    yield self._match(image, c, self._predicted(image, c), own)

    def _match(self, image: int, column: int, boxes: Tensor, rows: Array) -> Matched:
        import numpy as np

        from netc.functions.box_matching import match
        from netc.functions.boxes import iou

        overlaps = iou(boxes, self.objects[rows]).cpu().numpy()
        ignored = None
        if self.layer.ignore_cross_boundary_bbox:
            ignored = ((boxes < 0) | (boxes > 1)).any(1).cpu().numpy()
        per_prediction = self.layer.match_type == "PER_PREDICTION"
        found, best = match(overlaps, self.layer.overlap_threshold, per_prediction, ignored)
        return Matched(image, column, np.where(found >= 0, np.append(rows, 0)[found], found), best)

    def _of_classes(self, found: Matched) -> Iterator[Matched]:
        """Give each match to the boxes of the object's class."""
        import numpy as np

        labels = self.labels.numpy()
        for c in range(self.layer.num_classes):
            if c != self.layer.background_label_id:
                own = (found.objects >= 0) & (labels[found.objects] == c)
                yield Matched(found.image, c, np.where(own, found.objects, -1), found.overlaps)

    def _positives(self, matched: list[Matched]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images, priors, columns and objects of all matches."""
        import numpy as np
        import torch

        parts: list[list[Array]] = [[np.arange(0)] for _ in range(4)]
        for one in matched:
            found = np.flatnonzero(one.objects >= 0)
            same = np.ones_like(found)
            for part, values in zip(parts, (same * one.image, found, same * one.column, one.objects[found])):
                part.append(values)
        images, priors, columns, objects = (torch.from_numpy(np.concatenate(part)) for part in parts)
        return images, priors, columns, objects

    # ------------------------------------------------------------------ mining

    def _mined(self, matched: list[Matched]) -> Array:
        """Choose priors by their loss: return those without a match, as rows of all scores, and drop other matches."""
        import numpy as np

        losses = self._losses_for_mining(matched).cpu().numpy()
        found = [np.arange(0)]
        for one in matched:
            hard = self.layer.mining_type == "HARD_EXAMPLE"
            eligible = np.ones(len(one.objects), bool) if hard else self._negatives(one)
            if self.objectness is not None:
                eligible &= (self.objectness[one.image] >= self.least).cpu().numpy()
            count = self.layer.sample_size if hard else int((one.objects >= 0).sum() * self.layer.neg_pos_ratio)
            candidates = np.flatnonzero(eligible)
            chosen = candidates[self._best(one, candidates, losses[one.image][candidates], count)]
            found.append(chosen[one.objects[chosen] == -1] + one.image * len(one.objects))
            if hard:
                kept = np.zeros(len(one.objects), bool)
                kept[chosen] = True
                one.objects[(one.objects >= 0) & ~kept] = -1
        return np.concatenate(found)

    def _negatives(self, one: Matched) -> Array:
        chosen: Array = (one.objects == -1) & (one.overlaps < self.layer.neg_overlap)
        return chosen

    def _best(self, one: Matched, candidates: Array, losses: Array, count: int) -> Array:
        """Return the positions of the `count` largest losses, after suppression if the layer has it."""
        import torch

        if not self.layer.mining_nms_threshold:
            return largest(losses, count)
        from netc.functions.boxes import areas
        from netc.functions.suppression import nms

        top = self.layer.mining_top_k if self.layer.mining_top_k >= 0 else len(losses)
        given = torch.from_numpy(losses)
        order = given.sort(descending=True, stable=True)[1][:top]
        boxes = self.plain if self.layer.use_prior_for_nms else self._predicted(one.image, one.column)
        boxes = boxes[torch.from_numpy(candidates)[order].to(boxes.device)].cpu()
        large = (areas(boxes) >= SMALL).nonzero()[:, 0]
        kept = nms(boxes[large], given[order[large]], self.layer.mining_nms_threshold, limit=top)
        found: Array = order[large[kept]][:count].numpy()
        return found

    def _losses_for_mining(self, matched: list[Matched]) -> Tensor:
        """Return the loss of each prior (n, p): that of its object or of the background, with its codes if hard."""
        import torch

        scores = self.scores.detach()
        softmax = self.layer.conf_loss_type == "SOFTMAX"
        base = scores.logsumexp(-1) if softmax else torch.nn.functional.softplus(scores).sum(-1)
        background = self.layer.background_label_id
        own = scores[..., background] if background < self.layer.num_classes else torch.zeros_like(base)
        if self.layer.mining_type != "HARD_EXAMPLE":
            return base - own if not softmax else (base - own).clamp_max(LARGEST)
        images, priors, columns, objects = self._positives(matched)
        own = own.clone()
        own[images, priors] = scores[images, priors, self.labels[objects].to(scores.device)]
        losses = base - own if not softmax else (base - own).clamp_max(LARGEST)
        of_codes = self._loss_of_codes(images, priors, columns, objects, self.plain.unsqueeze(0)).detach().sum(1)
        losses[images, priors] += of_codes
        return losses

    # ------------------------------------------------------------------ losses

    def _loss_of_codes(self, images: Tensor, priors: Tensor, columns: Tensor, objects: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each code of the matches (m, 4)."""
        import torch
        import torch.nn.functional as F

        from netc.functions.boxes import encode

        layer = self.layer
        codes = self.codes[images, priors, columns]
        own, variances = boxes[images % len(boxes), priors], self.variances[priors]
        factors = None if layer.encode_variance_in_target else variances
        targets = encode(self.objects[objects], own, factors, layer.code_type)
        if layer.bp_inside:
            around = own if layer.use_prior_for_matching else self._decode(codes.detach(), own, variances)
            codes = torch.where((around < 0) | (around > 1), targets, codes)
        if layer.encode_variance_in_target:  # SSD's gradient is that of the quotient, not divided by the variance
            codes, targets = codes + (codes / variances - codes).detach(), targets / variances
        if layer.loc_loss_type == "L2":
            return (codes - targets).square() / 2
        return F.smooth_l1_loss(codes, targets, reduction="none")

    def _loss_of_scores(self, found: tuple[Tensor, ...], negatives: Array) -> Tensor:
        """Return the sum of the losses of the scores of matches and of mined priors."""
        import torch

        images, priors, _, objects = found
        rows = torch.cat((images * self.scores.shape[1] + priors, torch.from_numpy(negatives)))
        scores = self.scores.reshape(-1, self.layer.num_classes)[rows.to(self.scores.device)]
        background = torch.full((len(negatives),), self.layer.background_label_id)
        labels = torch.cat((self._labels_of(objects), background)).to(scores.device)
        if self.layer.conf_loss_type == "SOFTMAX":
            return _softmax_loss(scores, labels)
        targets = torch.full_like(scores, float(self.layer.background_label_id), requires_grad=False)
        inside = labels < self.layer.num_classes
        targets[inside.nonzero()[:, 0], labels[inside]] = 1
        return _logistic_loss(scores, targets)

    def _loss_of_all_scores(self, found: tuple[Tensor, ...]) -> Tensor:
        """Return the sum of the losses of all scores.

        As in SSD, the targets of the LOGISTIC loss of later images are at the wrong places: image i begins at prior i.
        """
        import torch

        images, priors, _, objects = found
        scores = self.scores.reshape(-1, self.layer.num_classes)
        count, labels = self.scores.shape[1], self._labels_of(objects)
        if self.layer.conf_loss_type == "SOFTMAX":
            every = torch.full((len(scores),), self.layer.background_label_id)
            every[images * count + priors] = labels
            return _softmax_loss(scores, every.to(scores.device))
        targets = torch.full((scores.numel(),), float(self.layer.background_label_id), dtype=scores.dtype)
        targets[images * count + priors * self.layer.num_classes + labels] = 1
        return _logistic_loss(scores, targets.reshape(scores.shape).to(scores.device))

    def _labels_of(self, objects: Tensor) -> Tensor:
        labels = self.labels[objects]
        return labels.fill_(self.layer.background_label_id + 1) if self.layer.map_object_to_agnostic else labels

    # ------------------------------------------------------------------ boxes

    def _predicted(self, image: int, column: int) -> Tensor:
        """Return the predicted boxes of an image and class; those of RefineDet are relative to the moved priors."""
        return self._decoded(self.codes.detach()[image, :, column], self.plain)

    def _decoded(self, codes: Tensor, priors: Tensor) -> Tensor:
        return self._decode(codes, priors, self.variances)

    def _decode(self, codes: Tensor, priors: Tensor, variances: Tensor) -> Tensor:
        from netc.functions.boxes import decode

        factors = None if self.layer.encode_variance_in_target else variances
        return decode(codes, priors, factors, self.layer.code_type)


def largest(values: Array, count: int) -> Array:
    """Return the positions of the `count` largest values, of equal ones the first.

    >>> import numpy as np
    >>> largest(np.array([3.0, 1.0, 5.0, 3.0, 3.0]), 3)
    array([0, 2, 3])
    """
    import numpy as np

    if count >= len(values):
        return np.arange(len(values))
    if count <= 0:
        return np.arange(0)
    values = np.where(np.isnan(values), np.inf, values)
    least = np.partition(values, len(values) - count)[len(values) - count]
    above, equal = np.flatnonzero(values > least), np.flatnonzero(values == least)
    return np.sort(np.concatenate((above, equal[: count - len(above)])))


def _softmax_loss(scores: Tensor, labels: Tensor) -> Tensor:
    import torch.nn.functional as F

    return bounded(F.cross_entropy(scores, labels, reduction="none"), high=LARGEST).sum()


def _logistic_loss(scores: Tensor, targets: Tensor) -> Tensor:
    import torch.nn.functional as F

    return F.binary_cross_entropy_with_logits(scores, targets, reduction="sum")
