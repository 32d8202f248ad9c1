"""Worker processes: fresh interpreters that serve this one over a connection. They must not import torch.

They are no forks, so that threads, torch and rendering contexts of this process do no harm; and not multiprocessing's,
which would run the imports of the main program, torch among them, in each of them.
"""

import os
import pickle
import subprocess
import sys
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")
"""Each process has a core: libraries and software renderers that start threads would share it with the others."""


def start_interpreter(module: str, *filenos: int) -> tuple[Connection, subprocess.Popen[bytes]]:
    """A process that runs serve(fileno) of `module` at the other end of the connection, and has these files open."""
    ours, theirs = Pipe()
    with theirs:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import serve; serve({theirs.fileno()})"],
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), *filenos),
            process_group=0,
        )
    return ours, process


def portable(error: Exception) -> Exception:
    """The error, or one with its text if it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a library's own class does wrong
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
