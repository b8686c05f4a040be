"""Exit codes of the command line. 70 is what sysexits.h has for an internal error, 128 + n for an end by signal n."""

FAILED, BAD_INPUT, UNDECIDED, INTERNAL, INTERRUPTED, CLOSED, TERMINATED = 1, 2, 3, 70, 130, 141, 143
