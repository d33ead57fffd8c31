"""Training as in Caffe2: nets that contain their gradients and optimizers run on a workspace of blobs.

    workspace_net.py   one net: forward operators, gradients by autograd, updates
    trainer.py         load_trainer(): a training net and its init net
    plan_run.py        a plan: several nets on one workspace
    run.py             one call for a whole run, with a log and a file of the trained blobs

Training nets need no solver: the net updates its parameters itself.
"""
