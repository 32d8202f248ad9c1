"""Choice of the OpenGL that MuJoCo draws with: EGL, else OSMesa, tried in a process of its own: a broken one crashes.

Importing this module imports nothing of MuJoCo. What was found is kept in the environment, for the whole process tree.
Run as a program, it is that other process: `python envs/mujoco_gl.py egl` draws with EGL and prints the device.
"""

import ctypes
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from typing import Any, NamedTuple

_PACKAGES = ("mujoco", "dm_control", "ogbench")
_RECORD = "ENVS_MUJOCO_GL"
_TIMEOUT_S = 600  # a last net: a loaded machine may take a minute to load a driver

_drawing_process: int | None = None


class Backend(NamedTuple):
    """What draws on this machine.

    Attributes:
      name: value of MUJOCO_GL; "" is MuJoCo's own choice.
      device: OpenGL's name of it; "" if nothing works.
      problem: why nothing works, one line.
      asked: the user's MUJOCO_GL.
      host: where this was found out.
    """

    name: str
    device: str
    problem: str
    asked: str
    host: str

    def provenance(self) -> dict[str, str]:
        """What frames depend on, for a dataset's metadata."""
        return {"backend": self.name or "default", "device": self.device}


def find() -> Backend:
    """Finds what draws, once per process tree, and sets MUJOCO_GL to it unless the user has set it."""
    current, host = os.environ.get("MUJOCO_GL", "").strip().lower(), platform.node()
    asked = current
    if _RECORD in os.environ:
        known = Backend(*json.loads(os.environ[_RECORD]))
        if known.name == current:
            if known.host == host:
                return known
            asked = known.asked  # a job that inherited the environment of another machine
    backend = _search(asked, host)
    if backend.name != asked:
        os.environ["MUJOCO_GL"] = backend.name
    os.environ[_RECORD] = json.dumps(backend)
    return backend


def why_unavailable() -> str | None:
    """One line that says why MuJoCo environments cannot be made here and what to do, or None if they can."""
    if missing := [name for name in _PACKAGES if not _is_installed(name)]:
        return (
            f"MuJoCo environments need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} an extra:"
            " run with `uv run --extra mujoco` or install it with `pip install 'lewm[mujoco]'`"
        )
    return find().problem or None


def require() -> Backend:
    """What draws here. DependencyError, in one line, if MuJoCo environments cannot be made."""
    from envs.errors import DependencyError  # here: run as a program, this file is alone

    if reason := why_unavailable():
        raise DependencyError(reason)
    return find()


def make_context(name: str, size: int) -> Any:
    """A MuJoCo GLContext of backend `name` for frames of up to size x size; whatever MUJOCO_GL was at its import."""
    context: Any
    if name in ("egl", "osmesa"):
        context = importlib.import_module(f"mujoco.{name}").GLContext(size, size)
    else:
        context = importlib.import_module("mujoco.gl_context").GLContext(size, size)
    context.make_current()
    return context


def leave_to_the_system(*owners: Any) -> None:
    """Has contexts freed with the process: Python would free them after EGL has been shut down, which fails."""
    for owner in owners:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


def check_process() -> None:
    """To be called before every frame.

    Raises:
      RuntimeError: in a fork of a process that has drawn. OpenGL does not survive that: it would wait forever.
    """
    global _drawing_process
    if _drawing_process is None:
        _drawing_process = os.getpid()
    if _drawing_process != os.getpid():
        raise RuntimeError(
            "this process was forked from one that has drawn MuJoCo frames, and OpenGL does not survive a fork: start"
            " workers by multiprocessing's spawn, or before the first frame"
        )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _search(asked: str, host: str) -> Backend:
    candidates = (asked,) if asked or platform.system() != "Linux" else ("egl", "osmesa")
    failures = []
    for name in candidates:
        device, failure = _try(name)
        if device:
            return Backend(name, device, "", asked, host)
        failures.append(f"{name or 'the default'}: {failure}")
    problem = f"MUJOCO_GL={asked} does not" if asked else "neither EGL nor OSMesa"
    remedy = "install Debian's libegl1 and libgl1, or libosmesa6" + ("; or unset MUJOCO_GL" if asked else "")
    return Backend(asked, "", f"MuJoCo cannot draw: {problem} work here ({'; '.join(failures)}); {remedy}", asked, host)


def _try(name: str) -> tuple[str, str]:
    """(device, "") if backend `name` draws, else ("", why not)."""
    # -P: the folder of this file holds modules with the names of other people's packages.
    command = [sys.executable, "-P", __file__, name]
    try:
        result = subprocess.run(
            command,
            env={**os.environ, "MUJOCO_GL": name},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return "", f"no frame within {_TIMEOUT_S} s"
    lines = (result.stderr if result.returncode else result.stdout).strip().splitlines()
    if result.returncode < 0:
        return "", f"crashed with signal {-result.returncode}"
    return ("", lines[-1] if lines else "failed") if result.returncode else (lines[-1], "")


def _print_device(name: str) -> None:
    import mujoco

    context = make_context(name, 64)
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value).free()
    gl = importlib.import_module("OpenGL.GL")
    print(gl.glGetString(gl.GL_RENDERER).decode())
    context.free()


if __name__ == "__main__":
    _print_device(sys.argv[1])
