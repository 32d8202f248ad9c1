"""The test suite. What is set here holds for all of its processes, and before any of them imports torch."""

import os

from lewm.processes import ONE_THREAD

os.environ |= dict.fromkeys(ONE_THREAD, "1")  # a worker of pytest-xdist for each core

LAST_NET_S = 1800
"""Longest wait for another process. No promise of a test: it ends a suite that would hang, on the slowest machine."""
