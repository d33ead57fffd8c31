"""The cases of tools/bench.py: timing.py measures, report.py formats results, the others define cases."""
