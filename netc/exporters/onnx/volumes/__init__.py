"""Layers of `netc/layers/volumes` in ONNX."""
