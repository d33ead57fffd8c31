"""Layers of `netc/layers/detection/` in ONNX."""
