"""What test_benchmarks.py measures in processes of their own: a light module, for each process imports it."""

import os
import time

import numpy as np


def prepare_work(seconds, n_bytes):
    """A way that takes so long, needs so much memory, and returns its process and a value."""
    def run():
        time.sleep(seconds)
        return os.getpid(), int(np.ones(n_bytes, np.uint8).sum())
    return run


def prepare_failure():
    raise ValueError("this cannot be prepared")
