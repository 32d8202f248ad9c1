"""Checks of a machine: what training needs, what it can do without, and what to do about what is missing."""

import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires, version
from pathlib import Path
from typing import NamedTuple

from lewm.processes import num_cores

GIBIBYTE = 2**30


class MissingError(Exception):
    """What a check found instead of what it looks for, one line."""


class Check(NamedTuple):
    """Something to look for.

    Attributes:
      name: name of what is looked for.
      look: returns what there is, one line; raises MissingError, or whatever it fails with.
      remedy: what to do where `look` raises.
      is_needed: whether training does not work without.
    """

    name: str
    look: Callable[[], str]
    remedy: str
    is_needed: bool = False


class Finding(NamedTuple):
    """Outcome of a check.

    Attributes:
      check: the check.
      is_there: whether `look` returned.
      text: what there is, or what failed.
    """

    check: Check
    is_there: bool
    text: str

    @property
    def line(self) -> str:
        """The outcome in one line, with the remedy where something is missing."""
        state = "ok" if self.is_there else "FAILED" if self.check.is_needed else "missing"
        return f"{state:<8}{self.check.name:<15}{self.text}" + ("" if self.is_there else f": {self.check.remedy}")


def examine(check: Check) -> Finding:
    """Runs a check, whose errors are findings and nothing else."""
    try:
        return Finding(check, True, _one_line(check.look()))
    except MissingError as error:
        return Finding(check, False, _one_line(str(error)))
    except (Exception, SystemExit) as error:
        return Finding(check, False, _one_line(f"{type(error).__name__} {error}"))


def _one_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def versions() -> str:
    """Versions of lewm and of what results depend on. MissingError: a package that lewm requires is not installed."""
    needed = [line for line in requires("lewm") or [] if "extra ==" not in line]
    absent = []
    for requirement in needed:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            version(name)
        except ImportError:  # PackageNotFoundError
            absent.append(name)
    if absent:
        raise MissingError(f"{', '.join(absent)} not installed")
    return ", ".join(
        f"{name} {version(name)}" for name in ("lewm", "torch", "timm", "accelerate", "numpy", "gymnasium")
    )


def device() -> str:
    """The device that device=auto trains on. MissingError: there is a GPU that torch does not see."""
    import torch

    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"{len(gpus)} x {gpus[0]} (CUDA {torch.version.cuda}), {num_cores()} CPU cores"
    if shutil.which("nvidia-smi"):
        raise MissingError("nvidia-smi is there, and torch sees no GPU")
    return f"no GPU, {num_cores()} CPU cores"


def bfloat16() -> str:
    """The hardware that calculates in bfloat16."""
    from lewm.precision import has_bfloat16
    from lewm.training.accelerator import choose_device

    chosen = choose_device("auto")
    if not has_bfloat16(chosen):
        raise MissingError(f"not in the {'GPU' if chosen == 'cuda' else 'CPU'}")
    return f"in the {'GPU' if chosen == 'cuda' else 'CPU'}"


COMPILED = "import torch; x = torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(8)); assert bool((x == 1).all())"
"""A program that ends with 0 if torch.compile works."""


def compiler(timeout: float = 60) -> str:
    """torch.compile, tried on a function of one line for at most `timeout` seconds."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", COMPILED], capture_output=True, encoding="utf-8", errors="replace", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"no result within {timeout:g} s") from None
    if tried.returncode:
        raise MissingError((tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"])[-1])
    return "works"


def triton() -> str:
    """Triton, whose kernels run on GPUs."""
    import torch

    found = str(importlib.import_module("triton").__version__)
    return found if torch.cuda.is_available() else f"{found}, unused without a GPU"


def video_encoder() -> str:
    """ffmpeg of imageio, tried on a video of two frames."""
    import imageio.v2 as iio
    import numpy as np
    from imageio_ffmpeg import get_ffmpeg_version

    with tempfile.TemporaryDirectory() as folder:
        iio.mimwrite(Path(folder) / "two.mp4", list(np.zeros((2, 64, 64, 3), np.uint8)), fps=10)
    return f"ffmpeg {get_ffmpeg_version()}"


def git() -> str:
    """Version of git, which tells results the commit of the code."""
    if shutil.which("git") is None:
        raise MissingError("not installed")
    return subprocess.run(
        ["git", "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True
    ).stdout


def disk(least: float = 3) -> str:
    """Free space of the working directory, GiB, which has to be writable."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()):
        free = shutil.disk_usage(Path.cwd()).free / GIBIBYTE
    if free < least:
        raise MissingError(f"{free:.1f} GiB free in {Path.cwd()}, and the quickstart needs {least:g}")
    return f"{free:.0f} GiB free in {Path.cwd()}"


def memory(least: float = 2) -> str:
    """Free memory, GiB, as Linux tells it."""
    table = Path("/proc/meminfo")
    found = re.search(r"MemAvailable: *(\d+) kB", table.read_text(encoding="utf-8")) if table.exists() else None
    if found is None:
        return "unknown on this system"
    free = int(found[1]) * 1024 / GIBIBYTE
    if free < least:
        raise MissingError(f"{free:.1f} GiB free, and the quickstart needs {least:g}")
    return f"{free:.0f} GiB free"


def step_and_plan() -> str:
    """A training step and a plan of the default configuration, with frames of its environment."""
    from lewm.trial import try_step_and_plan

    begin = time.perf_counter()
    loss = try_step_and_plan()
    return f"works (loss {loss:.2f}, {time.perf_counter() - begin:.1f} s)"


CHECKS = (
    Check("versions", versions, "install lewm again, with its dependencies", is_needed=True),
    Check("device", device, "install a torch for this driver, see pytorch.org; training uses the CPU until then"),
    Check("bfloat16", bfloat16, "nothing to do, training.precision=auto chooses float32"),
    Check("torch.compile", compiler, "nothing to do, training does without"),
    Check("triton", triton, "nothing to do on a CPU; on a GPU the regularizers are slower without: install triton"),
    Check("video encoder", video_encoder, "pip install 'imageio[ffmpeg]', or give evaluation.num_videos=0"),
    Check("git", git, "nothing to do for training; results have no commit of the code without: install git"),
    Check("disk", disk, "free some, or go to another folder", is_needed=True),
    Check("memory", memory, "end other programs, or take a machine with more", is_needed=True),
    Check("step and plan", step_and_plan, "mend what failed above, else report this line", is_needed=True),
)


def report(checks: Sequence[Check], tell: Callable[[str], object]) -> int:
    """Tells one line for each check, in their order, and whether training will work.

    Two checks run at once: some wait for programs that they start.

    Returns:
      0 if it will, else 1.
    """
    failed = []
    with ThreadPoolExecutor(2) as pool:
        for check, finding in zip(checks, pool.map(examine, checks), strict=True):
            tell(finding.line)
            if check.is_needed and not finding.is_there:
                failed.append(check)
    if failed:
        tell(f"training will not work: {'; '.join(f'{check.name}: {check.remedy}' for check in failed)}")
        return 1
    tell("training will work")
    return 0
