"""Additions to Caffe's training: fine-tuning, moving averages, mix-up, loss scaling, layer-wise rates."""
