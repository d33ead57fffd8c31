"""Every layer type, one file per family; new files are discovered automatically.

>>> from netc.layers import registry
>>> registry()["ReLU"].__name__
'ReLU'
"""

from netc.layers._registry import LayerUse, choose, layer_classes, register, registry

__all__ = ["LayerUse", "choose", "layer_classes", "register", "registry"]
