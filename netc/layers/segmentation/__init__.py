"""Layers of pixelwise networks."""
