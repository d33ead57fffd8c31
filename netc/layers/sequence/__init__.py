"""Layers of text and speech recognition."""
