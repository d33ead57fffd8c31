"""`netc`, `python -m netc`, and `caffe`."""

from __future__ import annotations

import sys

from netc.cli import caffe_process as caffe
from netc.cli import process as main

__all__ = ["caffe", "main"]

if __name__ == "__main__":
    sys.exit(main())
