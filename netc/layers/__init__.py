"""Every layer type, one file per family; new files are discovered automatically.

Layers that belong to one kind of model, mostly of forks, have folders of their own:

    detection/        boxes, priors, proposals, regions of interest
    segmentation/     pixelwise networks: upsampling with switches, dense CRFs, accuracy per pixel
    mscnn/            MS-CNN and Cascade R-CNN: losses and metrics of maps, targets of proposals
    yolo/             the ports of darknet's detectors
    optical_flow/     FlowNet: correlation, warping, augmentation
    sequence/         text and speech: recurrent layers in Caffe's forks, CTC
    metric_learning/  faces: margins, centers, triplets
    volumes/          three-dimensional convolution and pooling
    operators/        what only Caffe2 has: one file per family
    fpn/              feature pyramids in py-faster-rcnn: the layers in place of its Python layers
    pose/             human pose: data with maps of joints and limbs, peaks of heat maps

>>> from netc.layers import registry
>>> registry()["ReLU"].__name__
'ReLU'
"""

from netc.layers._operators import operator, operator_class, operator_registry, operator_types
from netc.layers._registry import Choice, LayerUse, choose, how_recognized, layer_classes, register, registry

__all__ = [
    "Choice",
    "LayerUse",
    "choose",
    "how_recognized",
    "layer_classes",
    "operator",
    "operator_class",
    "operator_registry",
    "operator_types",
    "register",
    "registry",
]
