"""Layers of YOLO in ONNX: one file per family, as in `netc/layers/yolo`."""
