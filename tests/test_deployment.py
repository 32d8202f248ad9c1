"""Exported parts give what the model gives, on other sizes than they were traced with, without this package."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

import train
from lewm.deployment import parts_of
from lewm.run import Run
from scripts import export
from tests.docs.pages import blocks
from tests.programs import TINY, assert_one_line_error, run_program

ACTOR = ("actor=intent", "model.actor.hidden_dim=16", "planner=guarded", "planning=guarded", "planning.horizon=2")
"""A search around an actor, from two frames."""

TOLERANCE = 1e-4


def train_tiny(folder, data, *words):
    settings = [word for word in TINY if word != "planning.horizon=2" or ACTOR[-1] not in words]
    assert run_program(train.main, *settings, f"data.path={data.path}", f"output_dir={folder}", *words) is None
    return Run.open(folder / "tiny")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, two_room_data):
    """The default of a run: a search from one frame."""
    return train_tiny(tmp_path_factory.mktemp("plain"), two_room_data)


@pytest.fixture(scope="module")
def acting(tmp_path_factory, two_room_data):
    return train_tiny(tmp_path_factory.mktemp("acting"), two_room_data, *ACTOR)


@pytest.fixture(scope="module")
def in_onnx(tmp_path_factory, plain, acting):
    """Folders of the exported runs."""
    folder = tmp_path_factory.mktemp("onnx")
    for name, run in (("plain", plain), ("acting", acting)):
        export.main([str(run.path), str(folder / name), "--to", "onnx"])
    return folder


def sessions(folder):
    described = json.loads((folder / "export.json").read_text())
    return {
        name: onnxruntime.InferenceSession(folder / part["file"], providers=["CPUExecutionProvider"])
        for name, part in described["parts"].items()
    }


def assert_close(found, wanted):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= TOLERANCE * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", ["plain", "acting"])
def test_every_onnx_file_gives_what_its_part_gives(request, in_onnx, name):
    run = request.getfixturevalue(name)
    files = sessions(in_onnx / name)
    parts = {part.name: part for part in parts_of(run.agent(), run.spec, {})}
    own = {"proposal_1", "proposal_2", "search_1", "search_2"} if name == "acting" else {"search_1"}
    assert files.keys() == parts.keys() == {"encoder", "predictor", *own}
    for each, part in parts.items():
        inputs = part.example(5)
        feed = {key: value.numpy() for key, value in zip(part.inputs, inputs, strict=True)}
        found = files[each].run(None, feed)
        assert [output.name for output in files[each].get_outputs()] == list(part.outputs)
        for output, wanted in zip(found, part(inputs), strict=True):
            assert_close(output, wanted)


def test_the_encoder_gives_the_embeddings_of_the_agent(plain, in_onnx, two_room_data):
    frames = two_room_data[0].pixels[:7]
    (z,) = sessions(in_onnx / "plain")["encoder"].run(None, {"frames": frames})
    assert_close(z, plain.agent().embed(frames))


def test_an_iteration_is_one_of_the_planner(plain, two_room_data):
    """The part that is exported against CEM itself, on the same noise, in raw units."""
    agent = plain.agent(planner={"name": "cem", "num_samples": 9, "num_elites": 3, "num_iterations": 1, **STD})
    part = next(part for part in parts_of(agent, plain.spec, {}) if part.name == "search_1")
    frames = two_room_data[0].pixels
    state = agent.begin(frames[:1], frames[9:10]).state
    noise = torch.randn(1, 8, *state.mean.shape[1:], generator=agent.mpc.noise(state)[0])
    seen = []
    agent.mpc.plan(state, on_iteration=seen.append)
    units, action_std = part.module.units, torch.tensor(plain.spec.normalizer.std)
    horizon, block = agent.mpc.horizon, plain.spec.frameskip
    inputs = (
        state.z,
        torch.zeros(1, 0, 2),
        state.z_goal,
        units.raw(state.mean),
        action_std.expand(1, horizon * block, 2) * STD["std"],
        noise.reshape(1, 8, horizon * block, 2),
    )
    mean, std, actions, cost = part(inputs)
    assert_close(units.blocks(mean), seen[0].mean)
    assert_close(units.scale(std), seen[0].std)
    assert_close(cost, seen[0].best_cost)
    assert (actions >= torch.tensor(plain.spec.action_low) - 1e-5).all()
    assert (actions <= torch.tensor(plain.spec.action_high) + 1e-5).all()


STD = {"std": 0.7, "min_std": 0.05}


def test_a_proposal_is_the_plan_of_the_actor(acting, in_onnx, two_room_data):
    frames, actions = two_room_data[0].pixels, two_room_data[0].actions
    block = acting.spec.frameskip
    agent = acting.agent(planner="actor", proposal="amortized")
    plan = agent.plan(frames[[0, block]], actions[:block], frames[20])
    files = sessions(in_onnx / "acting")
    (z,) = files["encoder"].run(None, {"frames": frames[[0, block, 20]]})
    feed = {"z": z[None, :2], "past_actions": actions[None, :block], "z_goal": z[2:]}
    (proposed,) = files["proposal_2"].run(None, feed)
    assert_close(proposed[0], plan.actions)


def test_the_torch_files_run_without_this_package(acting, tmp_path, two_room_data):
    export.main([str(acting.path), str(tmp_path / "out"), "--to", "torch"])
    frames = two_room_data[0].pixels[:4]
    np.save(tmp_path / "frames.npy", frames)
    program = f"""
import sys
import numpy as np
import torch
encode = torch.export.load({str(tmp_path / "out" / "encoder.pt2")!r}).module()
np.save({str(tmp_path / "z.npy")!r}, encode(torch.from_numpy(np.load({str(tmp_path / "frames.npy")!r}))).numpy())
assert not any(name.split(".")[0] == "lewm" for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert_close(np.load(tmp_path / "z.npy"), acting.agent().embed(frames))
    described = json.loads((tmp_path / "out" / "export.json").read_text())
    assert all(part["relative_difference"] <= 1e-5 for part in described["parts"].values())


def test_the_example_of_the_documentation_plans(in_onnx, monkeypatch):
    monkeypatch.chdir(in_onnx)
    example = next(block.text for block in blocks("python") if "onnxruntime" in block.text)
    names = {}
    exec(example.replace("exported/two_room", "plain").replace("64, 64", "48, 48"), names)
    assert names["plan"].shape == (10, 2) and np.isfinite(names["plan"]).all() and np.isfinite(names["best"])


def test_a_planner_without_elites_is_refused_and_leaves_nothing(plain, tmp_path):
    with pytest.raises(SystemExit) as refused:
        export.main([str(plain.path), str(tmp_path / "out"), "--planner", "mppi"])
    assert_one_line_error(refused.value.code, "MPPI has no elites", "--planner cem")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_over(plain, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as refused:
        export.main([str(plain.path), str(tmp_path / "out")])
    assert_one_line_error(refused.value.code, "exists already")
