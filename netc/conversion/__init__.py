"""Weights in, models out: connects the compiler, the passes and the exporters.

models.py       a net with weights from any file, as a graph with arrays
embedded_net.py nets in their weights files, without a prototxt
deploy.py       deploy(): a training net as the net for deployment
convert.py      convert(): to safetensors, a state_dict, Caffe, .py, ONNX, .pt2
formats.py      the formats, by name
writers.py      the files of each of these
exported_program.py   a net as a program of torch.export
preprocess.py   the preprocessing of images, and the sidecar that describes it
images.py       images -> batches
classify.py     classifies images
verify.py       two forms of one net, layer by layer
surgery.py      changes to trained nets
weights_report.py   the contents of a weights file
"""
