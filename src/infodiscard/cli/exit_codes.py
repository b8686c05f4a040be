"""Exit codes of the command line."""

FAILED, BAD_INPUT, UNDECIDED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
