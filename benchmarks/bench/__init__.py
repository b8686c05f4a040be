"""`make bench`: our solver and what it is measured against, side by side (see `python -m benchmarks.bench --help`)."""
