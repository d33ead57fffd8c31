"""Layers of `netc/layers/detection/` in plain torch."""
