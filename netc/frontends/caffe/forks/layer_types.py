"""Layer types that forks of Caffe have and BVLC's does not."""

from __future__ import annotations

_BY_FORK = {
    "SSD": "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox VideoData",
    "Fast R-CNN": "ROIPooling SmoothL1Loss",
    "R-FCN": "BoxAnnotatorOHEM PSROIPooling SmoothL1LossOHEM SoftmaxWithLossOHEM",
    "MNC": "MaskPooling MaskResize ROIWarping",
    "PVANet": "Proposal",
    "FPN ports": "DeformableConvolution DeformablePSROIPooling ROIAlign",
    "MS-CNN": """
        BboxAccuracy BBoxAccuracy BoxOutput DetectionAccuracy ImageGtData ProposalTarget RPNProposalSSD BoxGroupOutput
        DecodeBBox""",
    "panoramic detection": "RingPad",
    "RefineDet": "RefineDetOutput RefineMultiBoxLoss",
    "OpenVINO": "CosineSimilarityBatch GRN PriorBoxClustered RegionYolo ReorgYolo ScaleFilter",
    "DeepLab": """
        AdaptiveBiasChannel BiasChannel DenseCRF DomainTransform ImageSegData Interp MatRead MatWrite SegAccuracy
        SpatialProduct UniqueLabel""",
    "SegNet": "DenseImageData Upsample",
    "DeconvNet": "EltwiseAccuracy RedSoftmaxLoss Unpooling WindowSegData",
    "CRF-as-RNN": "MultiStageMeanfield",
    "SegNet, PSPNet and yjxiong forks": "BN",
    "yjxiong": "BatchReduction Gather Scatter SegmentConsensus SyncBN SegData",
    "C3D": """
        Convolution3D Deconvolution3D NdConvolution NdPooling Pooling3D VideoSegmentationData VoxelSoftmax
        VideoWithVoxelTruthData VoxelSoftmaxLoss EltwiseProduct""",
    "MobileNet ports": "ConvolutionDepthwise DepthwiseConvolution ReLU6",
    "ShuffleNet": "ShuffleChannel",
    "SENet": "Axpy",
    "FlowNet": """
        Accum BlackAugmentation ChannelNorm Correlation Correlation1D CustomData DataAugmentation DisparityData
        Downsample ExpMax Grid FLOReader FLOWriter FlowAugmentation FlowWarp FloatReader FloatWriter
        GenerateAugmentationParameters ImgReader ImgWriter L1Loss L1LossHelper LpqLoss Mean NegReLU NegSquare PFMWriter
        Resample Warp""",
    "YOLO ports": """
        BoxData DetectionLoss EvalDetection GaussianYolov3 RegionLoss RegionOutput Region Reorg YoloDetectionOutput
        YoloSeg Yolov3 Yolov3Detection Yolov3DetectionOutput YoloAnnotatedData""",
    "NVIDIA": "DetectNetTransformation",
    "Intel": "ContinuationIndicator MnActivation MnParamGradCompress SpatialDropout",
    "CTPN and CRNN ports": """
        CTCGreedyDecoder CTCDecoder CTCLoss CtcLoss DenseBlock LabelsequenceAccuracy Lstm Reverse ReverseTime Transpose
        WarpCTCLoss""",
    "caffe-face": "CenterLoss",
    "SphereFace": "LargeMarginInnerProduct MarginInnerProduct",
    "NormFace": "Flip InnerDistance LabelSpecificAdd LabelSpecificMargin LabelSpecificRescale",
    "face recognition forks": "SampleTriplet TripletLoss",
    "happynear": "EltwiseAffine Hotspot Insanity Local Noise SubRegion ChannelScale",
    "Chenglong Chen": "CompactData",
    "SpatialTransformerLayer": "LocLoss PowerFile SpatialTransformer STLoss",
    "DAN": "JMMDLoss MMDLoss",
    "DANN": "GradientScaler",
    "Cambricon": "UnPooling",
    "jolibrain": "DiceCoefLoss FocalLoss SeLU SeLUDropout",
    "OpenPose": "CPMData ImResize Nms OPData",
    "HED": "ImageLabelmapData",
    "pose_action_caffe": """
        CoordsFromHeatMaps CoordsToBboxesMasks HeatMapsFromCoordsOrigin MultiSourcesImagesData PoseEuDistAccuracy
        PoseHeatMapLoss PosePDJAccuracy RandomImageData2 RescaledPoseCoords Resize VisualizedHeatMaps
        VisualizedHeatMaps2 VisualizedPoseCoords""",
}

_FORK = {name: fork for fork, names in _BY_FORK.items() for name in names.split()}

V1_TYPES = {
    "BATCH_NORM": "BatchNorm", "BIAS_CHANNEL": "BiasChannel", "BN": "BN", "COMPACT_DATA": "CompactData",
    "CONVOLUTION3D": "Convolution3D", "CROP": "Crop", "DECONVOLUTION3D": "Deconvolution3D", "DENSE_CRF": "DenseCRF",
    "DENSE_IMAGE_DATA": "DenseImageData", "ELTWISE_ACCURACY": "EltwiseAccuracy", "ELTWISE_PRODUCT": "EltwiseProduct",
    "IMAGE_SEG_DATA": "ImageSegData", "INTERP": "Interp", "LOCAL": "Local", "MAT_WRITE": "MatWrite",
    "MULTI_STAGE_MEANFIELD": "MultiStageMeanfield", "NORMALIZE": "Normalize", "POOLING3D": "Pooling3D",
    "PRELU": "PReLU", "RED_SOFTMAX_LOSS": "RedSoftmaxLoss", "RELU6": "ReLU6", "ROIPOOLING": "ROIPooling",
    "SEG_ACCURACY": "SegAccuracy", "UNPOOLING": "Unpooling", "UPSAMPLE": "Upsample", "VIDEO_DATA": "VideoData",
    "VIDEO_SEGMENTATION_DATA": "VideoSegmentationData", "VIDEO_WITH_VOXEL_TRUTH_DATA": "VideoWithVoxelTruthData",
    "VOXEL_SOFTMAX": "VoxelSoftmax", "VOXEL_SOFTMAX_LOSS": "VoxelSoftmaxLoss", "WINDOW_SEG_DATA": "WindowSegData",
}  # fmt: skip
"""Values that forks added to V1LayerParameter.LayerType, with the type names of these forks or their successors."""


NAMESAKES = {"Filter": ("filter_param", "channel pruning")}
"""Layer types of forks with the name of one of BVLC's: the parameter field that distinguishes them, and the fork."""


def owner_of_type(name: str) -> str | None:
    """Return the fork that has a layer type, None if unknown; V1 names are recognized too.

    >>> owner_of_type("PriorBox"), owner_of_type("POOLING3D"), owner_of_type("Poling")
    ('SSD', 'C3D', None)
    """
    return _FORK.get(V1_TYPES.get(name, name))


def type_of_fork(name: str) -> str | None:
    """Return the layer type of a fork with this name in any case, None if there is none.

    >>> type_of_fork("SeLu"), type_of_fork("ELu")
    ('SeLU', None)
    """
    return _BY_LOWER_CASE.get(name.lower())


_BY_LOWER_CASE = {name.lower(): name for name in _FORK}
