"""Functions of tensors with a backward pass of their own; what layers call where plain operations would be slow
or would not give Caffe's gradient.

They import torch, so a layer imports them inside `forward`. They know nothing of layers.

local_response.py   local response normalisation
mean_variance.py    mean and variance normalisation
"""
