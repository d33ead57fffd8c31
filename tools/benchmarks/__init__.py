"""What tools/bench.py measures: timing.py how, report.py what is said of it, the others one kind of case each."""
