"""Layers written in Python: data with several labels per image, a loss, and the parity of labels."""

import json

import caffe
import numpy as np


class PhotographTiles(caffe.Layer):
    """Tiles of a photograph, and for each tile which properties it has: bright, reddish, varied.

    `param_str` is JSON with `image`, `batch_size` and `size`. Tops: tiles (n, 3, size, size), labels (n, 3).
    """

    def setup(self, bottom, top):
        self.settings = json.loads(self.param_str)
        self.image = caffe.io.load_image(self.settings["image"])
        self.random = np.random.default_rng(7)
        self.median = None

    def reshape(self, bottom, top):
        count, size = self.settings["batch_size"], self.settings["size"]
        top[0].reshape(count, 3, size, size)
        top[1].reshape(count, 3)

    def tile(self):
        size = self.settings["size"]
        y, x = (int(self.random.integers(0, extent - size)) for extent in self.image.shape[:2])
        return self.image[y : y + size, x : x + size]

    def forward(self, bottom, top):
        if self.median is None:
            self.median = np.median([self.properties(self.tile()) for _ in range(500)], axis=0)
        for item in range(top[0].num):
            tile = self.tile()
            top[0].data[item] = tile.transpose(2, 0, 1) - 0.5
            top[1].data[item] = self.properties(tile) > self.median

    def backward(self, top, propagate_down, bottom):
        pass

    @staticmethod
    def properties(tile):
        return np.array([tile.mean(), tile[..., 0].mean() - tile[..., 2].mean(), tile.std()])


class MultilabelLoss(caffe.Layer):
    """The logistic loss of independent labels: bottoms scores and labels of one shape, mean over items."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("expected scores and labels")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("scores and labels differ in size")
        self.probability = np.zeros_like(bottom[0].data)
        top[0].reshape(1)

    def forward(self, bottom, top):
        scores, labels = bottom[0].data, bottom[1].data
        self.probability[...] = 1 / (1 + np.exp(-scores))
        top[0].data[...] = (np.logaddexp(0, scores) - scores * labels).sum() / bottom[0].num

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise Exception("labels have no gradient")
        if propagate_down[0]:
            bottom[0].diff[...] = (self.probability - bottom[1].data) * top[0].diff[0] / bottom[0].num


class Parity(caffe.Layer):
    """Labels to a column of 0 (even) and 1 (odd)."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].count, 1)

    def forward(self, bottom, top):
        top[0].data[:, 0] = bottom[0].data.ravel() % 2

    def backward(self, top, propagate_down, bottom):
        pass
