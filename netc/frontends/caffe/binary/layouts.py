"""Field numbers of layer parameters that BVLC's schema does not have, or that a fork assigned to another field.

Source: the caffe.proto files of the forks. A message of a fork that is in none of these tables is read without fields.
"""

from __future__ import annotations

_COMMON = {
    "AccumParameter": "top_height=1 top_width=2 size_divisible_by=3 have_reference=4",
    "AugmentationParameter": """
        write_augmented=2 max_multiplier=3 augment_during_test=4 recompute_mean=5 write_mean=6 mean_per_pixel=7 mode=8
        mirror=10 translate=11 rotate=12 zoom=13 squeeze=14 translate_x=15 translate_y=16 mean=18 lmult_pow=20
        lmult_mult=21 lmult_add=22 sat_pow=23 sat_mult=24 sat_add=25 col_pow=26 col_mult=27 col_add=28 ladd_pow=29
        ladd_mult=30 ladd_add=31 col_rotate=32 crop_width=33 crop_height=34 gamma=35 brightness=36 contrast=37 color=38
        bottomwidth=80 bottomheight=81 num=82 chromatic_eigvec=83 fog_amount=100 fog_size=101 motion_blur_angle=102
        motion_blur_size=103 shadow_angle=104 shadow_distance=105 shadow_strength=106 noise=107""",
    "BNParameter": "scale_filler=1 shift_filler=2 bn_mode=3",
    "BlackAugmentationParameter": "black=10 border=11",
    "BoxAnnotatorOHEMParameter": "roi_per_img=1 ignore_label=2",
    "ChannelNormalizeParameter": "normalize_type=1 fix_gradient=2 bp_norm=3",
    "ChannelScaleParameter": """
        do_forward=1 do_backward_feature=2 do_backward_scale=3 global_scale=4 max_global_scale=5 min_global_scale=6""",
    "CenterLossParameter": "num_output=1 center_filler=2 axis=3",
    "CoeffScheduleParameter": "half_life=1 initial_coeff=2 final_coeff=3",
    "Convolution3DParameter": """
        num_output=1 bias_term=2 pad=3 kernel_size=4 group=5 kernel_depth=6 stride=7 temporal_stride=8 weight_filler=9
        bias_filler=10 filter_group=11 temporal_pad=12""",
    "CorrelationParameter": """
        pad=2 kernel_size=3 max_displacement=4 stride_1=5 stride_2=6 do_abs=7 single_direction=8
        correlation_type=15""",
    "DenseCRFParameter": "max_iter=1 pos_xy_std=2 pos_w=3 bi_xy_std=4 bi_rgb_std=5 bi_w=6 output_probability=7",
    "DenseImageDataParameter": """
        source=1 batch_size=2 rand_skip=3 shuffle=4 new_height=5 new_width=6 is_color=7 mean_file=8 root_folder=9
        mirror=10 crop_width=11 crop_height=12 label_divide_factor=13""",
    "DetectionOutputParameter": """
        num_classes=1 share_location=2 background_label_id=3 nms_param=4 save_output_param=5 code_type=6 keep_top_k=7
        variance_encoded_in_target=8 confidence_threshold=9 visualize=10 visualize_threshold=11 save_file=12""",
    "DownsampleParameter": "top_height=1 top_width=2",
    "DropoutParameter": "scale_train=2",
    "EltwiseAffineParameter": "slope_filler=1 bias_filler=2 channel_shared=3",
    "ExpMaxParameter": "base=1 scale=2 shift=3",
    "FlowWarpParameter": "fill_value=1",
    "GRNParameter": "bias=1",
    "GradientScalerParameter": "lower_bound=1 upper_bound=2 alpha=3 max_iter=4",
    "HotspotParameter": "gaussian_std=1 output_height=2 output_width=3 data_height=4 data_width=5 mean_removed=6",
    "ImResizeParameter": "target_spatial_width=1 target_spatial_height=2 factor=3 start_scale=4 scale_gap=5",
    "InsanityParameter": "lb=1 ub=2",
    "InterpParameter": "height=1 width=2 zoom_factor=3 shrink_factor=4 pad_beg=5 pad_end=6",
    "L1LossParameter": """
        l2_per_location=1 l2_prescale_by_channels=2 normalize_by_num_entries=3 epsilon=4 power=5 plateau=3001""",
    "LpqLossParameter": """
        pq_episode_starts_at_iter=4010 p=4011 q=4012 p_epsilon=4013 q_epsilon=4014 l2_prescale_by_channels=4016
        normalize_by_num_entries=4017""",
    "LocalParameter": "num_output=1 bias_term=2 pad=3 kernel_size=4 stride=6 weight_filler=7 bias_filler=8",
    "LSTMParameter": "num_output=1 clipping_threshold=2 weight_filler=3 bias_filler=4 batch_size=5",
    "MMDParameter": "kernel_num=1 kernel_mul=2 fix_gamma=3",
    "MarginInnerProductParameter": """
        num_output=1 type=2 weight_filler=3 axis=4 base=5 gamma=6 power=7 iteration=8 lambda_min=9""",
    "MaskResizeParameter": "output_height=1 output_width=2",
    "MeanParameter": "operation=1 file=2 value=3 mean_scale=4 input_scale=5 output_scale=6",
    "MultiBoxLossParameter": """
        loc_loss_type=1 conf_loss_type=2 loc_weight=3 num_classes=4 share_location=5 match_type=6 overlap_threshold=7
        use_prior_for_matching=8 background_label_id=9 use_difficult_gt=10 do_neg_mining=11 neg_pos_ratio=12
        neg_overlap=13 code_type=14""",
    "NonMaximumSuppressionParameter": "nms_threshold=1 top_k=2 eta=3",
    "NormalizeParameter": "across_spatial=1 scale_filler=2 channel_shared=3 eps=4",
    "PSROIPoolingParameter": "spatial_scale=1 output_dim=2 group_size=3",
    "PermuteParameter": "order=1",
    "Pooling3DParameter": "pool=1 kernel_size=2 stride=3 pad=4 kernel_depth=5 temporal_stride=6",
    "PriorBoxParameter": """
        min_size=1 max_size=2 aspect_ratio=3 flip=4 clip=5 variance=6 img_size=7 img_h=8 img_w=9 step=10 step_h=11
        step_w=12 offset=13""",
    "ProposalParameter": """
        feat_stride=1 base_size=2 min_size=3 ratio=4 scale=5 pre_nms_topn=6 post_nms_topn=7 nms_thresh=8""",
    "ROIPoolingParameter": "pooled_h=1 pooled_w=2 spatial_scale=3",
    "ROIWarpingParameter": "pooled_h=1 pooled_w=2 spatial_scale=3",
    "ReLU6Parameter": "n=1",
    "RandomGeneratorParameter": """
        rand_type=1 exp=2 mean=4 spread=5 prob=6 apply_schedule=7 discretize=8 multiplier=9""",
    "ReaderParameter": "file=1 num=2",
    "ReorgParameter": "stride=1 reverse=2",
    "ResampleParameter": "width=1 height=2 type=3 antialias=4",
    "ReverseParameter": "axis=1",
    "SeLUParameter": "alpha=1 lambda=2",
    "SeLUDropoutParameter": "dropout_ratio=1 alpha=2",
    "SegAccuracyParameter": "metric=1 ignore_label=2 reset=3",
    "ShuffleChannelParameter": "group=1",
    "SmoothL1LossParameter": "sigma=1",
    "SpatialDropoutParameter": "dropout_ratio=1",
    "SubRegionParameter": "region_height=1 region_width=2 data_height=3 data_width=4 as_dim=5",
    "TransposeParameter": "dim=1",
    "WriterParameter": "file=1 folder=2 prefix=3 suffix=4 normalize=5 scale=6",
    "UpsampleParameter": "scale=1 scale_h=2 scale_w=3 pad_out_h=4 pad_out_w=5 upsample_h=6 upsample_w=7",
}
"""Messages that only forks have; `name=number`."""
_SLOPE = "slope_filler=1 bias_filler=2 momentum=3 eps=4 frozen=5 engine=6"
_SHIFT = "scale_filler=1 shift_filler=2 var_eps=3 moving_average=4 decay=5"
_SSD_TRANSFORM = "resize_param=8 noise_param=9 emit_constraint=10 crop_h=11 crop_w=12 distort_param=13 expand_param=14"
_BAYESIAN = {
    "DropoutParameter": "sample_weights_test=2",
    "LossParameter": "weight_by_label_freqs=3 class_weighting=4",
}
_FIXED = {"LossParameter": "pre_fixed_normalizer=4"}
_DEEPLAB = {
    "TransformationParameter": "scale_factors=8 crop_width=9 crop_height=10",
    "ImageDataParameter": "ignore_label=15 label_type=16",
    "BatchNormParameter": "update_global_stats=4",
    "BNParameter": _SLOPE,
}
_FLOWNET = {
    "FillerParameter": "diag_val=9",
    "DataParameter": """
        preselection_file=3001 preselection_label=3002 range_start=3003 range_end=3004 rand_permute=3005
        rand_permute_order=3006 rand_permute_seed=3007 slice_point=3008 encoding=3009 verbose=3010 subtract=3011
        permute_every_iter=3012 block_size=3013 disk_reader_threads=4001 huge_video_dataset=7000 limit_samples=7001""",
}
_BY_DIALECT: dict[str, dict[str, str]] = {
    "segnet": _BAYESIAN,
    "enet": {
        **_BAYESIAN,
        "LossParameter": "weight_by_label_freqs=3 class_weighting=4 normalization=5",
    },
    "pspnet": _DEEPLAB,
    "deeplab2": _DEEPLAB,
    "yjxiong": {
        "BNParameter": _SLOPE,
        "ConvolutionParameter": "dilation=16 dilation_h=17 dilation_w=18",
        "TransformationParameter": "fix_crop=10 multi_scale=11 scale_ratios=12 max_distort=13 is_flow=14",
        "DataParameter": "shuffle=10",
    },
    "happynear": {"BNParameter": _SHIFT, "NoiseParameter": "gaussian_std=1 uniform_range=2 bias=3"},
    "chenglong": {"BNParameter": _SHIFT, "FillerParameter": "negative_slope=8 variance_norm=9"},
    "ctpn": {"BNParameter": f"{_SHIFT} axis=6"},
    "rfcn": _FIXED,
    "intel": {
        **_FIXED,
        "LossParameter": "pre_fixed_normalizer=4 label_smoothing=5",
        "ConvolutionParameter": "relu=19 negative_slope=20 conv_algorithm=21",
        "PoolingParameter": "avg_include_pad=13",
        "BatchNormParameter": """
            engine=4 use_weight_bias=5 bias_term=6 filler=7 bias_filler=8 stats_batch_size=9 relu=10""",
        "TransformationParameter": _SSD_TRANSFORM,
        "ReLUParameter": "fuse=3",
        "DataParameter": "shuffle=11 side=12",
        "ImageDataParameter": "min_height=13 min_width=14",
        "FillerParameter": "scale=9",
    },
    "nvidia": {
        "BatchNormParameter": "scale_filler=5 bias_filler=6 scale_bias=7 engine=15",
        "LossParameter": "label_smoothing=4",
        "DropoutParameter": "engine=2 random_seed=3",
        "DataParameter": "threads=11 parser_threads=12 cache=13 shuffle=14",
        "ImageDataParameter": "short_side=13 threads=14 cache=15",
        "PoolingParameter": "torch_pooling=40",
    },
    "mnn": {"PoolingParameter": "avg_include_pad=13 round_mode=14"},
    "ssd": {"TransformationParameter": _SSD_TRANSFORM},
    "refinedet": {"TransformationParameter": _SSD_TRANSFORM},
    "mobilenet_yolo": {"TransformationParameter": _SSD_TRANSFORM, "ReLU6Parameter": "negative_slope=1 engine=2"},
    "yolo9000": {"TransformationParameter": _SSD_TRANSFORM, "PoolingParameter": "ceil_mode=13"},
    "openvino": {"PoolingParameter": "ceil_mode=13"},
    "synopsys": {"PoolingParameter": "ceil_mode=14 round_mode=15", "DropoutParameter": "sample_weights_test=2"},
    "cambricon": {"PoolingParameter": "ceil_mode=14", "ReLUParameter": "upper_limit=2 engine=3"},
    "flownet2": _FLOWNET,
    "liteflownet": _FLOWNET,
    "stn": {"FillerParameter": "file=9"},
    "opencl": {"NoiseParameter": "mu=1 sigma=2"},
    "self_normalizing": {"SeLUParameter": "lambda=1 alpha=2"},
    "lrcn": {"TransformationParameter": "flow=6", "ImageDataParameter": "min_height=13 min_width=14"},
    "c3d_old": {
        "ConvolutionParameter": """
            num_output=1 bias_term=2 pad=3 kernel_size=4 group=5 kernel_depth=6 stride=7 temporal_stride=8
            weight_filler=9 bias_filler=10 filter_group=11 temporal_pad=12""",
        "PoolingParameter": "pool=1 kernel_size=2 stride=3 pad=4 kernel_depth=5 temporal_stride=6",
    },
}
"""Differences from BVLC's schema and from the common table; the old number of a field that moved is unused."""
_V1_TYPES = {
    "c3d_old": """
        ELTWISE_PRODUCT=25 CONVOLUTION3D=30 POOLING3D=31 VIDEO_DATA=33 DECONVOLUTION3D=34 VOXEL_SOFTMAX=36
        VOXEL_SOFTMAX_LOSS=37""",
    "chenglong": "COMPACT_DATA=37 PRELU=38 BN=39",
    "deconvnet": "CROP=40 UNPOOLING=42 BN=43",
    "happynear": "LOCAL=41 BN=42 NORMALIZE=43 ROIPOOLING=46 BATCH_NORM=47",
    "crfasrnn": "CROP=40",
    "tensorrt": "CROP=44",
    "caffe2onnx": "UPSAMPLE=40",
    "mobilenet_yolo": "RELU6=61",
}
_PRE_FIXED = {"NormalizationMode": {3: "PRE_FIXED", 4: "NONE"}}
_CHANNELS = {
    "CHANNELENCODING": {1: "UINT8", 2: "UINT16FLOW", 3: "BOOL1"},
    "RANDPERMORDER": {0: "FIRST_PERMUTE_THEN_RANGE", 1: "FIRST_RANGE_THEN_PERMUTE"},
}
ENUMS: dict[str, dict[str, dict[int, str]]] = {
    **dict.fromkeys(("rfcn", "intel"), _PRE_FIXED),
    **dict.fromkeys(("flownet2", "liteflownet"), _CHANNELS),
}
"""By dialect and enum: values whose numbers differ from BVLC's schema."""


def _numbers(text: str) -> dict[int, str]:
    """Parse `name=number ...` to names by number."""
    pairs = (word.split("=") for word in text.split())
    return {int(number): name for name, number in pairs}


COMMON = {message: _numbers(text) for message, text in _COMMON.items()}
BY_DIALECT = {
    dialect: {message: _numbers(text) for message, text in messages.items()}
    for dialect, messages in _BY_DIALECT.items()
}
V1_TYPES = {dialect: _numbers(text) for dialect, text in _V1_TYPES.items()}
