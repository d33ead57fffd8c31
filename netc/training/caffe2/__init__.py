"""Training as in Caffe2: nets that contain their gradients and optimizers run on a workspace of blobs.

    workspace_net.py   one net: forward operators, gradients by autograd, updates
    trainer.py         load_trainer(): a training net and its init net

Training nets need no solver: the net updates its parameters itself.
"""
