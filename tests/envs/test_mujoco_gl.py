"""How the OpenGL that draws is found, and what is said where nothing does; each in a process of its own."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from envs.mujoco_gl import why_unavailable
from tests import LAST_NET_S

MISSING = why_unavailable() or ""
OURS = ("MUJOCO_GL", "ENVS_MUJOCO_GL", "PYOPENGL_PLATFORM")
WITHOUT_MUJOCO = """
import sys
for name in ("mujoco", "dm_control", "ogbench"):
    sys.modules[name] = None
"""
DRAW = """
import json, os
from envs.reacher import Reacher
env = Reacher(frame_size=48)
frame = env.reset(seed=0)[0]["pixels"]
drawn = {"renderer": env.provenance()["renderer"], "std": float(frame.std()), "MUJOCO_GL": os.environ["MUJOCO_GL"]}
print(json.dumps(drawn))
"""
FIND = "from envs.mujoco_gl import find; import os; print(find().device, os.environ['ENVS_MUJOCO_GL'], sep='|')"


@cache
def python(code, **environment):
    """Runs code with none of the variables of OURS but those given; its last line of output, or of the error."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(
        command, env={**inherited, **environment}, capture_output=True, text=True, timeout=LAST_NET_S
    )
    return (result.stderr if result.returncode else result.stdout).strip().splitlines()[-1]


def draw_with(backend):
    """What DRAW says with MUJOCO_GL=backend; skips where that backend, or MuJoCo, is missing."""
    said = python(DRAW, MUJOCO_GL=backend)
    if "MuJoCo" in said and said.startswith("envs.errors.DependencyError"):
        pytest.skip(said)
    return json.loads(said)


def test_other_environments_work_without_mujoco():
    code = "import gymnasium; print(gymnasium.make('envs:lewm/TwoRoom-v0').reset(seed=0)[0]['state'].shape)"
    assert python(WITHOUT_MUJOCO + code) == "(2,)"


@pytest.mark.parametrize("name", ["reacher", "cube"])
def test_without_mujoco_one_line_names_the_extra(name):
    code = "from lewm.environment import make_env; from tests.registries import ENVS;"
    said = python(WITHOUT_MUJOCO + code + f"make_env(ENVS['{name}'])")
    assert said.startswith("lewm.errors.InputError:")
    assert "uv run --extra mujoco" in said and "pip install 'lewm[mujoco]'" in said


def test_what_is_missing_is_said_without_an_exception():
    said = python(WITHOUT_MUJOCO + "from envs.mujoco_gl import why_unavailable; print(why_unavailable())")
    assert "extra" in said


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_the_backend_that_the_user_has_set_draws(backend):
    drawn = draw_with(backend)
    assert drawn["renderer"]["backend"] == drawn["MUJOCO_GL"] == backend
    assert drawn["renderer"]["device"]
    assert drawn["std"] > 5


def test_osmesa_draws_where_egl_does_not_work():
    draw_with("osmesa")
    # With this variable set, mujoco refuses to use EGL.
    assert json.loads(python(DRAW, PYOPENGL_PLATFORM="osmesa"))["renderer"]["backend"] == "osmesa"


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_where_nothing_works_one_line_names_the_packages():
    said = python(DRAW, PYOPENGL_PLATFORM="neither")
    assert said.startswith("envs.errors.DependencyError: MuJoCo cannot draw")
    assert "libegl1" in said and "libosmesa6" in said


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_a_backend_of_the_user_that_does_not_work_is_named_and_not_replaced():
    assert "DependencyError: MuJoCo cannot draw: MUJOCO_GL=nonsense does not work" in python(DRAW, MUJOCO_GL="nonsense")


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_processes_that_inherit_what_was_found_do_not_try_again():
    device, record = python(FIND).split("|")
    backend = json.loads(record)
    assert device == backend[1]
    backend[1] = "a device that only the record knows"
    assert python(FIND, MUJOCO_GL=backend[0], ENVS_MUJOCO_GL=json.dumps(backend)).startswith(backend[1])


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_what_was_found_on_another_machine_is_found_again():
    device, record = python(FIND).split("|")
    elsewhere = ["egl", "the device of that machine", "", "", "another machine"]
    assert python(FIND, MUJOCO_GL="egl", ENVS_MUJOCO_GL=json.dumps(elsewhere)) == f"{device}|{record}"


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize("drawn_there", ["env", "GymGoalEnv('InvertedPendulum-v5', tolerances={})"])
def test_a_fork_of_a_process_that_has_drawn_says_so_instead_of_waiting_forever(drawn_there):
    code = f"""
import os
from envs.gym_goal_env import GymGoalEnv
env = {drawn_there}
if os.fork() == 0:
    try:
        env.render()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""
    assert "spawn" in python(DRAW + code)
