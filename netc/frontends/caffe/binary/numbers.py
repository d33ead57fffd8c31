"""Field numbers of LayerParameter and V1LayerParameter in forks of Caffe.

Source: the caffe.proto files of the forks. Fields that netc's schema does not have are left out; all other numbers have
the same meaning as in BVLC's schema.
"""

from __future__ import annotations

_V2 = """
45 bn_param: segnet enet deconvnet synopsys ncnn
46 dense_image_data_param: enet jolibrain
132 embed_param: lrcn
134 recurrent_param: lrcn
137 upsample_param: segnet; bn_param: yjxiong
138 dense_image_data_param: segnet
139 bn_param: happynear
140 video_data_param: yjxiong; local_param: happynear; lstm_param: ctpn
141 seg_data_param: yjxiong; insanity_param: happynear; ctc_param: ctpn
142 triplet_loss_param: happynear; transpose_param: ctpn
143 interp_param: pspnet; roi_pooling_param: happynear; reverse_param: ctpn
144 seg_accuracy_param: pspnet; batch_norm_param: happynear; bn_param: ctpn
145 mat_write_param: pspnet; eltwise_affine_param: happynear; shuffle_channel_param: ncnn; forward_type: nvidia tensorrt
146 dense_crf_param: pspnet; sub_region_param: happynear; multi_stage_meanfield_param: crfasrnn;
    backward_type: nvidia tensorrt
147 domain_transform_param: pspnet deeplab2; upsample_param: enet; center_loss_param: face;
    margin_inner_product_param: sphereface; noise_param: happynear; roi_pooling_param: panoramic jolibrain;
    reorg_param: ncnn yolov2; convolution3d_param: mnn; mmd_param: transfer; denseblock_param: caffe_ocr;
    reverse_param: openvino; forward_math: nvidia tensorrt
148 adaptive_bias_channel_param: pspnet deeplab2; coeff_schedule_param: flownet2 liteflownet synopsys;
    smooth_l1_loss_param: ssh panoramic intel jolibrain; scale_param: happynear; imresize_param: rtpose;
    roi_align_param: ncnn; pooling3d_param: mnn; st_param: stn; ctc_loss_param: openvino; quantization_param: yolov2;
    backward_math: nvidia tensorrt
149 bias_channel_param: pspnet deeplab2; augmentation_param: flownet2 liteflownet synopsys; elu_param: happynear;
    reorg_param: mobilenet_yolo; nms_param: rtpose; detection_loss_param: panoramic; engine: intel;
    psroi_pooling_param: ncnn; upsample_param: caffe2onnx; st_loss_param: stn; ctc_decoder_param: openvino;
    selu_param: jolibrain; debug: nvidia tensorrt
150 unique_label_param: pspnet; correlation_param: flownet2 liteflownet synopsys; roi_pooling_param: yjxiong;
    bias_param: happynear; upsample_param: mobilenet_yolo; detection_accuracy_param: panoramic; multinode: intel;
    power_file_param: stn; st_param: openvino; cudnn_math_override: nvidia tensorrt
151 noise_param: opencl; mat_read_param: pspnet; l1_loss_param: flownet2 liteflownet synopsys;
    box_output_param: panoramic; mn_activation_param: intel; recurrent_param: nvidia; axpy_param: caffe2onnx;
    loc_loss_param: stn; st_loss_param: openvino
152 bn_param: pspnet; writer_param: flownet2 liteflownet synopsys; dense_crf_param: deeplab2; crop_param: happynear;
    proposal_target_param: panoramic; box_annotator_ohem_param: intel; power_file_param: openvino;
    upsample_param: jolibrain
153 reader_param: flownet2 liteflownet synopsys; interp_param: deeplab2 jolibrain; input_param: happynear;
    image_gt_data_param: panoramic; psroi_pooling_param: intel; loc_loss_param: openvino
154 mean_param: flownet2 liteflownet synopsys; seg_accuracy_param: deeplab2; bbox_reg_param: panoramic;
    roi_pooling_param: intel; permute_param: openvino; shuffle_channel_param: jolibrain
155 resample_param: flownet2 liteflownet synopsys; mat_write_param: deeplab2; spatial_dropout_param: intel
156 downsample_param: flownet2 liteflownet synopsys; mn_grad_compress_param: intel; focal_loss_param: jolibrain
157 reshape_every_iter: flownet2 liteflownet synopsys; reorg_param: cambricon; ctc_loss_param: jolibrain
158 lpq_loss_param: flownet2 synopsys; expmax_param: liteflownet; ring_pad_param: panoramic;
    upsample_param: cambricon; quantization_param: intel;
    ctc_decoder_param: caffe_ocr; continuation_indicator_param: jolibrain
159 flow_warp_param: flownet2 synopsys; unpooling_param: cambricon; reorg_param: intel; ctc_loss_param: caffe_ocr
160 accum_param: flownet2 synopsys; scale_param: yjxiong; reverse_param: caffe_ocr; swish_param: jolibrain
161 black_augmentation_param: flownet2 synopsys; selu_param: self_normalizing; bias_param: yjxiong;
    roi_align_param: cambricon; reverse_time_param: caffe_ocr; clip_param: jolibrain
162 batch_reduction_param: yjxiong; shuffle_channel_param: cambricon; interp_param: caffe_ocr
163 interp_param: synopsys
164 seg_accuracy_param: synopsys; shuffle_channel_param: shufflenet caffe2onnx
166 shuffle_channel_param: synopsys; interp_param: caffe2onnx
200 annotated_data_param: SSD; gradient_scaler_param: gradient_reversal; detection_loss_param: yolov2
201 multibox_loss_param: SSD; proposal_param: openvino; eval_detection_param: yolov2
202 permute_param: SSD ncnn caffe2onnx; cosine_similarity_batch_param: openvino; region_loss_param: yolov2
203 prior_box_param: SSD ncnn caffe2onnx; detection_evaluate_param: yolov2
204 detection_output_param: SSD ncnn caffe2onnx yolov2; norm_param: openvino
205 detection_evaluate_param: SSD caffe2onnx; interp_param: ncnn; roi_warping_param: openvino
206 norm_param: SSD ncnn caffe2onnx
207 video_data_param: SSD; psroi_pooling_param: openvino
208 split_param: intel; roi_pooling_param: openvino; grn_param: openvino_training; dice_coef_loss_param: jolibrain
209 region_loss_param: intel; smooth_l1_loss_param: openvino; label_specific_add_param: openvino_training;
    reverse_param: jolibrain
210 lstm_param: mnn; box_annotator_ohem_param: openvino
211 gather_param: synopsys; relu6_param: mobilenet_yolo; pooling3d_param: cambricon; center_loss_param: mnn;
    detection_output_param: openvino
212 proposal_param: synopsys; shuffle_channel_param: mnn; prior_box_param: openvino;
    smooth_l1_loss_param: openvino_training
213 grn_param: openvino
214 nms_param: synopsys; region_yolo_param: openvino
215 reorg_yolo_param: openvino
216 relu6_param: openvino
217 interp_param: openvino
218 augmentation_param: openvino
219 correlation_param: openvino
220 resample_param: openvino
221 flow_warp_param: openvino
222 accum_param: openvino
223 coeff_schedule_param: openvino
224 shuffle_channel_param: openvino
301 eval_detection_param: yolo9000 intel; prior_box_param: cambricon
302 region_loss_param: yolo9000; norm_param: cambricon
303 reorg_param: yolo9000; permute_param: cambricon
304 detection_output_param: cambricon
600 region_loss_param: mobilenet_yolo
601 yolo_detection_output_param: mobilenet_yolo ncnn
602 yolov3_detection_output_param: mobilenet_yolo
603 yolov3_param: mobilenet_yolo; yolov3_detection_output_param: ncnn
1101 convolution3d_param: cambricon
2201 roi_pooling_param: mnn
2202 clip_param: mnn
2203 upsample_param: mnn
2210 interp_param: mnn
6660 video_data_param: c3d
6661 convolution3d_param: c3d
6662 pooling3d_param: c3d
6801 detectnet_groundtruth_param: nvidia
6802 detectnet_augmentation_param: nvidia
8781 permute_param: tensorrt
8782 detection_output_param: tensorrt
8783 norm_param: tensorrt
8784 prior_box_param: tensorrt
8785 roi_pooling_param: tensorrt
8786 proposal_param: tensorrt
8787 clip_param: tensorrt
10000 box_annotator_ohem_param: rfcn
10001 psroi_pooling_param: rfcn
11870 roi_warping_param: mnc
11890 mask_resize_param: mnc
11902 yolov3_param: cambricon
100000 relu6_param: caffe2onnx
8266710 transpose_param: caffe_ocr
8266711 roi_pooling_param: rfcn fast_rcnn mnc pvanet ctpn synopsys ncnn; lstm_param: caffe_ocr
8266712 smooth_l1_loss_param: rfcn fast_rcnn mnc pvanet ctpn synopsys ncnn
8266713 proposal_param: pvanet
"""
"""Each number with its fields, and for each field the forks that use it."""

_V1 = """
40 prelu_param: chenglong
41 bn_param: chenglong
44 unpooling_param: deconvnet
45 bn_param: deconvnet
46 red_softmax_loss_param: deconvnet
"""
_LIKE_SSD = "ssd mobilenet_yolo yolo9000 synopsys intel nvidia mnn refinedet openvino_training jolibrain"
"""Forks that adopted SSD's numbers from 200 on."""

Numbers = dict[int, dict[str, str]]
"""For each number, the field name by dialect."""


def _read(table: str) -> Numbers:
    """Parse a table; a line that starts with a space continues the previous one.

    >>> _read("7 a_param: x y; b_param: z")
    {7: {'x': 'a_param', 'y': 'a_param', 'z': 'b_param'}}
    """
    found: Numbers = {}
    for line in table.strip().replace("\n ", " ").split("\n"):
        number, _, rest = line.strip().partition(" ")
        meanings = found.setdefault(int(number), {})
        for meaning in rest.split(";"):
            field, _, forks = meaning.partition(":")
            meanings.update(dict.fromkeys(forks.replace("SSD", _LIKE_SSD).split(), field.strip()))
    return found


V2 = _read(_V2)
V1 = _read(_V1)
