"""Memory of this process: how it is kept, and how much it was at its peak."""

from __future__ import annotations

import ctypes
import sys


def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of handing it back to the kernel.

    A solve frees and allocates the same activations thousands of times. By default glibc maps each large one afresh and
    the kernel zeroes its pages again; in some containers these page faults cost more than the arithmetic.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # <malloc.h>: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 64 << 20)
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        pass


def peak_memory() -> int | None:
    """Returns the most bytes of memory that this process has had to itself so far; `None` where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
