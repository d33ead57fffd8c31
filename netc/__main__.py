"""`netc` and `python -m netc`."""

from __future__ import annotations

import sys

from netc.cli import main

if __name__ == "__main__":
    sys.exit(main())
