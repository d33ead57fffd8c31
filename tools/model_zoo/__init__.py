"""How models/ is written: one file a family of nets, and what they share in prototxt.py and recipes.py."""
