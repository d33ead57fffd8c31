"""`python tools/fuzz`: see __init__.py."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Make the package importable under its own name, and run its command line."""
    root = Path(__file__).resolve().parents[2]
    sys.path[0] = str(root / "tools")
    sys.path.insert(1, str(root))
    from fuzz.command import command

    command()


if __name__ == "__main__":
    main()
