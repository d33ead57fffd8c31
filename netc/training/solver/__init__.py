"""Caffe's solver: settings, learning rate policies, optimizers, the training loop and its tests."""
