"""The Python layers of feature pyramid networks in py-faster-rcnn: anchors and regions of several levels."""
