"""Autograd functions with a custom backward pass, used by layers where plain operations would be slow
or would not yield Caffe's gradient.

They import torch, so layers import them inside `forward`. They do not depend on layers.

box_matching.py     assignment of objects to boxes
boxes.py            overlaps and codes of boxes
local_response.py   local response normalization
mean_variance.py    mean and variance normalization
scaled_norm.py      SSD's normalization by the L2 norm
suppression.py      non-maximum suppression of boxes
unstable_sort.py    the order of equal values in C++'s std::sort
"""
