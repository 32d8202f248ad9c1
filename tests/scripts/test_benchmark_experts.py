"""The benchmark of experts counts what it says, and names what it leaves out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from envs.experts import EXPERTS
from envs.experts.expert import Expert
from lewm.success_rates import wilson
from scripts.benchmarks import env_speed, experts
from scripts.benchmarks.experts import as_table, directed, experts_of, steps_to_goal
from tests.registries import ENVS
from tests.walk_env import Walk

NAMES = ("pendulum", "two_room")


class East(Expert):
    """Walks a tenth of the way from west to east in a step; to the west without a goal there."""

    def __call__(self, state, goal_state, previous_action, rng):
        return np.array([[0.5, 0.0]], np.float32)


class Line(Walk):
    """Starts in the west; the goal is `ahead` of it."""

    def __init__(self, ahead):
        super().__init__()
        self.ahead = ahead

    def sample_state(self):
        return np.zeros(2)

    def sample_goal(self):
        return np.array([self.ahead, 0.0])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "table.json"
    experts.main(["--episodes", "3", "--envs", *NAMES, "--json", str(path)])
    return json.loads(path.read_text())


def test_each_expert_has_a_row_as_configured_and_one_without_noise(results):
    noise = [(row["env"], row["expert"]["noise_std"], row["expert"]["repeat_probability"]) for row in results["rows"]]
    assert noise == [("pendulum", 0.5, 0.5), ("pendulum", 0, 0), ("two_room", 2.0, 0.05), ("two_room", 0, 0)]
    for row in results["rows"]:
        assert row["trials"] == 3
        assert row["low"] <= row["rate"] == row["successes"] / 3 <= row["high"]


def test_the_results_name_the_machine_and_the_versions(results):
    assert results["machine"]["num_cores"] >= 1
    assert results["versions"]["numpy"] == np.__version__


def test_every_environment_has_an_expert_that_heads_for_a_goal():
    for config in ENVS.values():
        assert experts_of(config), config.name
        assert all(component["name"] in EXPERTS for component in experts_of(config))


def test_noise_that_a_configuration_leaves_to_the_expert_is_known_and_left_out():
    config = replace(ENVS["push_t"], collection=replace(ENVS["push_t"].collection, expert={"name": "push_t_brisk"}))
    noisy, quiet = experts_of(config)
    assert noisy == {"name": "push_t_brisk", "noise_std": 0.2, "repeat_probability": 0.05}
    assert quiet == {"name": "push_t_brisk", "noise_std": 0.0, "repeat_probability": 0.0}


def test_random_actions_are_no_expert():
    uniform, reacher = {"name": "uniform"}, {"name": "reacher", "mode": "goal"}
    parts = [{"weight": 1, "expert": expert} for expert in (uniform, reacher, reacher | {"mode": "uniform"})]
    assert list(directed({"name": "mixture", "parts": parts})) == [reacher]


@pytest.mark.parametrize(
    ("ahead", "max_steps", "steps"), [(0.1, 5, 0), (0.45, 5, 3), (0.45, 3, 3), (0.45, 2, None), (0.9, 5, None)]
)
def test_the_steps_are_those_until_the_first_success(ahead, max_steps, steps):
    assert steps_to_goal(Line(ahead), East(), max_steps, seed=0) == steps  # within 0.2 is a success


def test_the_table_fits_into_a_terminal(capsys):
    counts = {**wilson(200, 200)._asdict(), "solved_at_start": 200, "median_steps": 112.5, "max_steps": 300}
    row = {"env": "inverted_pendulum", "expert": {"name": "inverted_pendulum", "noise_std": 0.25}, **counts}
    experts.Console(width=80).print(as_table([row]))
    assert "112.5 of 300" in capsys.readouterr().out


def test_what_cannot_be_made_is_named_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "env").mkdir()
    pendulum = (env_speed.CONFIGS / "env" / "pendulum.yaml").read_text()
    (tmp_path / "env" / "pole.yaml").write_text(pendulum.replace("Pendulum-v1", "CartPole-v1"))
    monkeypatch.setattr(env_speed, "CONFIGS", tmp_path)
    experts.main(["--episodes", "1", "--json", str(tmp_path / "table.json")])
    results = json.loads((tmp_path / "table.json").read_text())
    assert "CartPole-v1 has the actions Discrete(2)" in results["left_out"]["pole"]
    assert results["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "0"], "--episodes 0"),
        (["--envs", "pusht"], "--envs pusht: there are .*push_t"),
        (["--envs", "recorded"], "--envs recorded: there are"),
        (["--json", "nowhere/table.json"], "no folder nowhere"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_is_measured(arguments, message):
    with pytest.raises(SystemExit, match=message):
        experts.main(arguments)
