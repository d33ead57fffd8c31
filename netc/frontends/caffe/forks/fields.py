"""Fields and enum values that forks of Caffe added to BVLC's messages, and their effect on results."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """A field of a fork, or a value that a fork added to an enum."""

    fork: str
    meaning: str | None
    """How netc reads it if it changes results; None if it does not, or is not supported."""
    supported: bool
    """False if a value other than the default changes results and is not implemented."""


WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    "NetParameter": {
        "Intel": "engine compile_net_state multinode",
        "NVIDIA": """
            default_forward_type default_backward_type default_forward_math default_backward_math global_grad_scale
            default_conv_algos_override default_cudnn_math_override reduce_buckets""",
    },
    "SolverParameter": {
        "Intel": "engine",
        "NVIDIA": """
            per_parameter_reduce solver_data_type store_blobs_in_old_format weight_decay_power larc_turn
            global_grad_scale min_test_iter snapshot_and_test_last_iter""",
        "yjxiong": "device_id__list richness",
        "early Caffe": "stepearly",
    },
    "LayerParameter": {
        "SSD": """
            annotated_data_param detection_evaluate_param detection_output_param multibox_loss_param norm_param
            permute_param prior_box_param video_data_param""",
        "Fast R-CNN": "roi_pooling_param smooth_l1_loss_param",
        "R-FCN": "box_annotator_ohem_param psroi_pooling_param",
        "MNC": "mask_resize_param roi_warping_param",
        "PVANet": "proposal_param",
        "FPN ports": "deformable_convolution_param roi_align_param",
        "Deformable R-FCN": "deformable_psroi_pooling_param",
        "Deformable ConvNets v2": "modulated_deformable_convolution_param",
        "MS-CNN": """
            bbox_reg_param box_group_output_param box_output_param decode_bbox_param detection_accuracy_param
            image_gt_data_param proposal_target_param""",
        "panoramic detection": "ring_pad_param",
        "DeepLab": """
            adaptive_bias_channel_param bias_channel_param dense_crf_param domain_transform_param interp_param
            mat_read_param mat_write_param seg_accuracy_param unique_label_param""",
        "SegNet": "bn_param dense_image_data_param upsample_param",
        "DeconvNet": "eltwise_accuracy_param red_softmax_loss_param unpooling_param",
        "CRF-as-RNN": "multi_stage_meanfield_param",
        "yjxiong": "batch_reduction_param seg_data_param",
        "C3D": "convolution3d_param pooling3d_param",
        "FlowNet": """
            accum_param augmentation_param black_augmentation_param coeff_schedule_param correlation_param
            downsample_param expmax_param flow_warp_param l1_loss_param lpq_loss_param mean_param reader_param
            resample_param reshape_every_iter writer_param""",
        "YOLO ports": """
            detection_loss_param eval_detection_param region_loss_param reorg_param segmentation_evaluate_param
            yolo_detection_output_param yolo_seg_param yolov3_detection_output_param yolov3_param""",
        "MobileNet ports": "relu6_param",
        "ShuffleNet": "shuffle_channel_param",
        "SENet": "axpy_param",
        "NVIDIA": """
            detectnet_augmentation_param detectnet_groundtruth_param forward_type backward_type forward_math
            backward_math debug cudnn_math_override""",
        "Intel": """
            engine multinode mn_activation_param mn_grad_compress_param quantization_param spatial_dropout_param
            split_param continuation_indicator_param""",
        "CTPN and CRNN ports": """
            ctc_param ctc_decoder_param ctc_loss_param denseblock_param lstm_param reverse_param reverse_time_param
            transpose_param""",
        "caffe-face": "center_loss_param",
        "SphereFace": "margin_inner_product_param",
        "NormFace": """
            flip_param inner_distance_param label_specific_add_param label_specific_margin_param
            label_specific_rescale_param""",
        "face recognition forks": """
            cosin_loss_param largemargin_inner_product_param sample_triplet_param triplet_loss_param""",
        "happynear": """
            channel_scale_param eltwise_affine_param hotspot_param insanity_param local_param noise_param
            normalize_param sub_region_param""",
        "SpatialTransformerLayer": "loc_loss_param power_file_param st_loss_param st_param",
        "DAN": "jmmd_param mmd_param",
        "DANN": "gradient_scaler_param",
        "OpenVINO": """
            cosine_similarity_batch_param grn_param region_param region_yolo_param reorg_yolo_param
            scale_filter_param""",
        "jolibrain": """
            dice_coef_loss_param focal_loss_param labelsequence_accuracy_param selu_dropout_param selu_param""",
        "OpenPose": "cpm_transform_param imresize_param nms_param",
        "channel pruning": "filter_param",
        "synopsys": "gather_param",
        "Caffe con Troll": """
            gpu_batch_proportion gpu_0_batch_proportion gpu_1_batch_proportion gpu_2_batch_proportion
            gpu_3_batch_proportion gpu_0_depth_proportion gpu_1_depth_proportion gpu_2_depth_proportion
            gpu_3_depth_proportion""",
    },
    "V1LayerParameter": {
        "DeconvNet": "bn_param unpooling_param eltwise_accuracy_param red_softmax_loss_param",
        "CRF-as-RNN": "multi_stage_meanfield_param",
        "Chenglong Chen": "prelu_param",
        "MobileNet ports": "relu6_param",
        "happynear": "roi_pooling_param",
        "caffe2onnx": "upsample_param",
        "DeepLab": "interp_param seg_accuracy_param mat_write_param dense_crf_param bias_channel_param",
        "Caffe con Troll": "gpu_batch_proportion",
    },
    "TransformationParameter": {
        "NVIDIA": "use_gpu_transform",
        "Chenglong Chen": "debug_display",
    },
    "BatchNormParameter": {"Intel": "engine"},
    "ConcatParameter": {"Intel": "engine"},
    "ConvolutionParameter": {
        "Intel": "negative_slope conv_algorithm",
        "NVIDIA": "cudnn_convolution_algo_seeker conv_algos_override",
    },
    "DataParameter": {
        "NVIDIA": "threads parser_threads cache",
        "FlowNet": """
            disk_reader_threads huge_video_dataset verbose block_size preselection_label rand_permute_order
            rand_permute_seed""",
    },
    "DropoutParameter": {"NVIDIA": "random_seed engine"},
    "EltwiseParameter": {"Intel": "engine"},
    "ImageDataParameter": {
        "DeepLab": "ignore_label label_type",
        "NVIDIA": "threads cache",
        "C3D": "show_data truth_scale",
    },
    "InnerProductParameter": {"Intel": "engine"},
    "LRNParameter": {"BVLC's opencl branch": "pooling_param"},
    "ReductionParameter": {"yjxiong": "k"},
    "ReLUParameter": {"Intel": "fuse"},
}
"""By message and fork: fields that do not affect results, or only in combination with another field."""

AS_THE_FORK: dict[str, dict[str, str]] = {
    "BatchNormParameter": {
        "NVIDIA": "scale_filler bias_filler scale_bias",
        "PSPNet": "update_global_stats",
        "Intel": "bias_term filler use_weight_bias stats_batch_size relu",
    },
    "DataParameter": {"yjxiong": "shuffle", "caffe-face": "source__list"},
    "FillerParameter": {"SpatialTransformerLayer": "file"},
    "ImageDataParameter": {
        "Intel": "min_height min_width",
        "NVIDIA": "short_side",
        "channel pruning": "bicubic new_dim",
    },
    "SolverParameter": {
        "PVANet": "plateau_winsize",
        "SSD": "eval_type ap_version show_per_class_result",
        "YOLO ports": "stagelr stageiter",
        "Intel": "warmup_iter warmup_start_lr local_lr_auto local_gw_ratio",
        "NVIDIA": """
            rampup_interval rampup_lr min_lr larc larc_policy larc_eta momentum_policy momentum_power max_momentum""",
        "netc": "netc_param",
    },
    "SolverState": {"netc": "netc_commit"},
    "LossParameter": {"SegNet": "weight_by_label_freqs class_weighting", "NVIDIA": "label_smoothing"},
    "TransformationParameter": {
        "DeepLab": "scale_factors crop_width crop_height",
        "LRCN": "flow",
        "yjxiong": "fix_crop more_fix_crop multi_scale scale_ratios max_distort is_flow original_image",
        "SSD": "resize_param crop_h crop_w distort_param noise_param expand_param emit_constraint",
        "Intel": "random_resize_param random_aspect_ratio_param",
        "Chenglong Chen": """
            multiscale contrast_adjustment jpeg_compression smooth_filtering angle_interval min_scaling_factor
            max_scaling_factor max_shearing_ratio max_perspective_ratio warp_fillval""",
        "NVIDIA": """
            img_rand_resize_lower img_rand_resize_upper rand_resize_ratio_lower rand_resize_ratio_upper
            vertical_stretch_lower vertical_stretch_upper horizontal_stretch_lower horizontal_stretch_upper
            allow_upscale interpolation_algo_up interpolation_algo_down""",
    },
}
"""By message and fork: fields that layers and solvers implement as in the fork (netc/ir/transform.py)."""

NOT_SUPPORTED: dict[str, dict[str, str]] = {
    "NetParameter": {"Intel": "bn_stats_batch_size"},
    "SolverParameter": {
        "Intel": "disabled_update",
        "NVIDIA": """
            test_epoch_size test_interval_epoch max_epoch epoch_size weight_decay_policy
            test_and_snapshot_start_epoch test_and_snapshot_last_epochs warmup_step""",
    },
    "TransformationParameter": {
        "Chenglong Chen": "max_rotation_angle",
    },
    "ConvolutionParameter": {
        "C3D": "kernel_depth temporal_stride temporal_pad filter_group",
        "Intel": "relu",
        "BVLC's opencl branch": "fuse_type",
        "video-caffe": "kernel_shape stride_shape pad_shape",
    },
    "DataParameter": {
        "YOLO ports": "side",
        "FlowNet": """
            limit_samples preselection_file range_start range_end rand_permute slice_point encoding subtract
            permute_every_iter""",
    },
    "EltwiseParameter": {"yjxiong": "STOCHASTIC_SUM"},
    "FillerParameter": {
        "Intel": "scale",
        "happynear": "alpha",
    },
    "ImageDataParameter": {
        "C3D": "new_length sampling_rate use_image use_temporal_jitter is_flow num_truth_channels",
    },
    "LRNParameter": {"BVLC's opencl branch": "fuse_type"},
    "PoolingParameter": {
        "Intel": "avg_include_pad axis",
        "NVIDIA": "torch_pooling",
        "C3D": "kernel_depth temporal_stride temporal_pad",
        "BVLC's opencl branch": "dilation",
        "video-caffe": "kernel_shape stride_shape pad_shape",
    },
    "ReductionParameter": {"yjxiong": "TOPK"},
    "ReLUParameter": {"Cambricon": "upper_limit"},
}
"""By message and fork: unsupported fields and values that change results."""

_LISTS = dict.fromkeys(("kernel_size__list", "stride__list", "pad__list"), ("yjxiong", "one value per spatial axis"))

READ: dict[tuple[str, str], tuple[str, str]] = {
    ("FillerParameter", "diag_val"): ("FlowNet", "read by the filler `diagonal`"),
    ("FillerParameter", "negative_slope"): ("Chenglong Chen", "read by the filler `msra`"),
    ("PoolingParameter", "ceil_mode"): ("soeaver", "read as `round_mode`"),
    **{("PoolingParameter", name): meaning for name, meaning in _LISTS.items()},
    ("TransformationParameter", "resize_param__list"): ("YOLO ports", "every image is resized by the first"),
    ("ConvolutionParameter", "hole"): ("DeepLab", "read as `dilation`"),
    ("ConvolutionParameter", "hole_h"): ("DeepLab", "read as `dilation`"),
    ("ConvolutionParameter", "hole_w"): ("DeepLab", "read as `dilation`"),
    ("ConvolutionParameter", "dilation_h"): ("yjxiong", "read as `dilation`"),
    ("ConvolutionParameter", "dilation_w"): ("yjxiong", "read as `dilation`"),
    ("DropoutParameter", "scale_train"): ("Fast R-CNN", "false scales in test instead of in training"),
    ("DropoutParameter", "sample_weights_test"): ("SegNet", "true drops in test too"),
    ("LossParameter", "pre_fixed_normalizer"): ("R-FCN", "divides the loss where `normalization` is PRE_FIXED"),
    ("LossParameter", "PRE_FIXED"): ("R-FCN", "divides the loss by `pre_fixed_normalizer`"),
}
"""By message and name: the fork, and how the field or value is read."""


SHAPING = frozenset(
    (
        *("LRNParameter.fuse_type", "ConvolutionParameter.fuse_type", "ConvolutionParameter.filter_group"),
        *(f"ConvolutionParameter.{name}" for name in ("kernel_depth", "temporal_stride", "temporal_pad")),
        *(
            f"PoolingParameter.{name}"
            for name in ("kernel_depth", "temporal_stride", "temporal_pad", "dilation", "axis")
        ),
        *(
            f"{message}.{name}_shape"
            for message in ("ConvolutionParameter", "PoolingParameter")
            for name in ("kernel", "stride", "pad")
        ),
        *("EltwiseParameter.STOCHASTIC_SUM", "ReductionParameter.TOPK"),
        *("ImageDataParameter.new_length", "DataParameter.slice_point", "PoolingParameter.torch_pooling"),
    )
)
"""Those that also change shapes of tops or blobs, or that the layer does not know: its shape rules would be wrong."""


def _each(table: dict[str, dict[str, str]], supported: bool) -> dict[tuple[str, str], Known]:
    return {
        (message, name): Known(fork, None, supported)
        for message, forks in table.items()
        for fork, names in forks.items()
        for name in names.split()
    }


KNOWN: dict[tuple[str, str], Known] = (
    _each(WITHOUT_EFFECT, True)
    | _each(AS_THE_FORK, True)
    | _each(NOT_SUPPORTED, False)
    | {key: Known(fork, meaning, True) for key, (fork, meaning) in READ.items()}
)
"""By message and name of a field or value: all four tables."""


def called(fork: str) -> str:
    """The name of a fork in a sentence.

    >>> called("SSD"), called("YOLO ports"), called("BVLC's opencl branch")
    ("SSD's Caffe", 'YOLO ports', "BVLC's opencl branch")
    """
    return fork if fork.endswith(("ports", "branch", "forks", "Caffe", "netc")) else f"{fork}'s Caffe"
