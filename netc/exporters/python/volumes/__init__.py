"""Layers of `netc/layers/volumes` in plain torch."""
