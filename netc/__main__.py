"""`netc` and `python -m netc`."""

from __future__ import annotations

import sys

from netc.cli import process as main

if __name__ == "__main__":
    sys.exit(main())
