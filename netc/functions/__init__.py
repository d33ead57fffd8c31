"""Autograd functions with a custom backward pass, used by layers where plain operations would be slow
or would not yield Caffe's gradient.

They import torch, so layers import them inside `forward`. They do not depend on layers.

local_response.py   local response normalization
mean_variance.py    mean and variance normalization
"""
