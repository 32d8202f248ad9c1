"""Checks whether training works on this machine, and says what is missing: `lewm doctor`.

One line for each of versions, device, bfloat16, torch.compile, Triton, rendering, video encoder, git, disk, memory, and
a small training step with a plan. The exit status is 0 if training will work, else 1.
"""

import argparse
import sys
import warnings

from envs import mujoco_gl
from lewm.doctor import CHECKS, Check, MissingError, report
from lewm.terminal import print_plainly


def rendering() -> str:
    """The OpenGL that MuJoCo's environments are drawn with."""
    if reason := mujoco_gl.why_unavailable():
        raise MissingError(reason)
    backend = mujoco_gl.find()
    return f"MuJoCo by {backend.name or 'its default'} ({backend.device})"


RENDERING = Check("rendering", rendering, "only MuJoCo's environments need it")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    print_plainly()
    warnings.simplefilter("ignore")  # each line is a finding
    sys.exit(report([*CHECKS[:5], RENDERING, *CHECKS[5:]], lambda line: print(line, flush=True)))


if __name__ == "__main__":
    main()
