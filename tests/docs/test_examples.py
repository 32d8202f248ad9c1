"""The Python examples of the documentation run."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from lewm.config import from_dict
from lewm.heads import HEADS
from lewm.heads.config import HeadConfig
from tests.docs.pages import Block, blocks
from tests.training.linear_world import FRAMESKIP, SMALL, SPEED, fit, write_walks

EXAMPLES = {f"{block.page}:{number}": block for number, block in enumerate(blocks("python"))}
EXAMPLES = {
    name: block
    for name, block in EXAMPLES.items()
    if block.page != "README.md" and "onnxruntime" not in block.text  # tests/test_deployment.py runs it
}


def run_example(block: Block) -> dict[str, Any]:
    """The names that an example leaves; its frames are as small as those of the run in `home`."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.text.replace("64, 64", "48, 48"), block.page, "exec"), names)
    return names


def example_with(words: str) -> dict[str, Any]:
    return run_example(next(block for block in EXAMPLES.values() if words in block.text))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(home, monkeypatch, example):
    monkeypatch.chdir(home)
    if "import minari" in EXAMPLES[example].text:
        pytest.importorskip("minari")
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(home))
    assert run_example(EXAMPLES[example])


def test_the_agent_of_the_example_plans_within_the_bounds(home, monkeypatch):
    monkeypatch.chdir(home)
    names = example_with("Run.open")
    assert names["plan"].actions.shape == (1, 25, 2)
    assert np.abs(names["plan"].actions).max() <= 1


def test_the_agent_of_the_readme_plans_from_arrays(home, monkeypatch):
    monkeypatch.chdir(home)
    frame = np.zeros((48, 48, 3), np.uint8)
    names = {"frames": frame[None], "past_actions": np.zeros((0, 2)), "goal_frame": frame}
    example = next(block for block in blocks("python") if block.page == "README.md" and "Run.open" in block.text)
    exec(example.text, names)
    assert names["plan"].actions.shape == (25, 2)
    assert names["session"].plan().actions.shape == (1, 25, 2)


def test_the_regularizer_of_the_recipe_asks_for_unit_variance():
    regularizer = example_with("class UnitVariance")["UnitVariance"]()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4096, 2, 8, generator=generator)
    assert regularizer(z, generator=generator) < 0.01
    assert regularizer(0.1 * z, generator=generator) > 0.9


def test_the_environment_of_the_recipe_reaches_its_goal():
    env = example_with("class Slider")["Slider"](frame_size=48)
    observation, info = env.reset(seed=0, options={"state": [0.1], "goal_state": [0.9]})
    assert env.observation_space.contains(observation)
    success = False
    for _ in range(20):
        observation, _, success, _, info = env.step(np.ones(1, np.float32))
        if success:
            break
    assert success
    assert isinstance(env, gym.Env)
    assert abs(observation["state"][0] - info["goal_state"][0]) < 0.05


def test_the_planner_of_the_recipe_finds_the_bottom_of_a_bowl():
    planner = example_with("class BestOfUniform")["BestOfUniform"](-torch.ones(1), torch.ones(1), num_samples=500)
    plan = planner(
        lambda candidates: (candidates - 0.5).square().sum((2, 3)),
        torch.zeros(1, 2, 1),
        generator=[torch.Generator().manual_seed(0)],
    )
    assert plan.cost.item() < 0.02


def test_the_goal_cost_of_the_recipe_is_zero_at_the_goal():
    cost = example_with("class CosineDistance")["CosineDistance"]()
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    at_goal, across = cost(z[:, None, None], z[[0, 0]], torch.zeros(2, 1, 1, 1))[:, 0].tolist()
    assert (at_goal, across) == (0.0, 1.0)


def test_the_head_of_the_recipe_learns_the_way_of_a_straight_walk(tmp_path, monkeypatch):
    waypoint = example_with("class Waypoint")["Waypoint"]
    monkeypatch.setitem(HEADS, "waypoint", waypoint)
    config = from_dict({"head": {"name": "waypoint", "bias": True}, "fitting": SMALL}, HeadConfig)
    errors = fit(write_walks(tmp_path / "data", num_episodes=20), config).errors
    assert errors["mean_squared_error"] < 0.6 * (FRAMESKIP * SPEED / 10) ** 2 / 2  # of staying where it is
