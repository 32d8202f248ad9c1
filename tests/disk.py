"""A disk that is full: writes of this process fail beyond a file size."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(num_bytes):
    """Within it, no file can grow beyond num_bytes: the write fails as on a full disk, with another number of error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
