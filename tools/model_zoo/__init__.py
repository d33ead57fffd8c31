"""Generates models/: one file per family of nets; prototxt.py and recipes.py are shared."""
