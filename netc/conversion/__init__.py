"""Weights in, models out: what strings the compiler, the passes and the exporters together.

models.py       a net with weights of any file, as a graph with arrays
rebuilt.py      nets that stand in their weights files, without a prototxt
convert.py      convert(): to safetensors, a state_dict, Caffe, .py, ONNX, .pt2
writers.py      the files of each of these
exported_program.py   a net as a program of torch.export
preprocess.py   what a picture goes through before the net, and the sidecar that tells it
pictures.py     pictures -> batches
classify.py     classes of pictures
verify.py       two forms of one net, layer by layer
surgery.py      nets changed by command
listing.py      what a weights file holds
"""
