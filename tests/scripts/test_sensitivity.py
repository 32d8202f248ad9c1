"""scripts/sensitivity.py: moves to the edge of success, distances and errors of a tiny run."""

import shutil

import numpy as np
import pytest
import torch
from rich.console import Console

import train
from envs.push_t import PushT
from envs.two_room import TwoRoom
from lewm.run import Run
from scripts import sensitivity
from tests.conftest import collect_two_room
from tests.programs import TINY, assert_one_line_error, run_program

PUSH_T_STATE = np.array([100.0, 120, 250, 260, 0.7, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("name", ["agent_x", "agent_y", "block_x", "block_y", "block_angle"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_number_is_put_off_to_the_edge_of_success(name, sign):
    env = PushT()
    amount = sensitivity.edge_of_success(env, PUSH_T_STATE, name, sign)
    assert np.sign(amount) == sign
    assert env.distance(env.moved(PUSH_T_STATE, name, amount), PUSH_T_STATE) == pytest.approx(1)
    assert env.distance(env.moved(PUSH_T_STATE, name, 0.9 * amount), PUSH_T_STATE) < 1


def test_a_number_that_success_does_not_ask_for_has_no_edge():
    assert sensitivity.edge_of_success(PushT(), PUSH_T_STATE, "block_velocity_x", 1) is None


def test_distances_are_those_of_frames_that_differ_by_the_move():
    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def encode(self, pixels):  # where the dark pixels are
            darkness = 255 - pixels.float().mean(2)
            x = torch.arange(pixels.shape[-1], dtype=torch.float)
            return torch.stack([(darkness.sum(-2) * x).sum(-1) / darkness.sum((-2, -1))] * 3, dim=-1)

    env = TwoRoom()
    states = np.array([[60.0, 60.0], [61.0, 160.0]])
    found = sensitivity.latent_distances(Brightness(), env, states, np.random.default_rng(0))
    assert list(found) == list(env.state_names)
    across, along = (found[name].squared for name in env.state_names)
    assert across.min() > 100 * along.max()  # x moves what is dark along x, y does not
    assert found[env.state_names[0]].amount == pytest.approx(sensitivity.edge_of_success(env, states[0], "agent_x", 1))


def test_frames_that_the_environment_cannot_be_put_off_at_are_counted_and_told(capsys):
    class Nothing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def encode(self, pixels):
            return torch.zeros(*pixels.shape[:2], 3)

    class Refusing(TwoRoom):
        def set_state(self, state):
            if state[0] != 60:
                raise ValueError("not there")
            super().set_state(state)

    states = np.array([[60.0, 60.0], [60.0, 160.0], [61.0, 160.0]])
    found = sensitivity.latent_distances(Nothing(), Refusing(), states, np.random.default_rng(0))
    counted = {name: (len(each.squared), each.num_left_out) for name, each in found.items()}
    assert counted == {"agent_x": (0, 3), "agent_y": (2, 1)}
    sensitivity.print_rows(found, torch.zeros(1, sensitivity.HORIZON + 1), Console())
    printed = capsys.readouterr().out
    assert "agent_x: 3 frames left out" in printed and "agent_y: 1 frames left out" in printed
    assert "agent_y off by" in printed and "agent_x off by" not in printed


def test_errors_are_those_of_the_rollout_and_of_no_change():
    class Counter(torch.nn.Module):
        """Embeds the frame number, and imagines that it grows by two for each step."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def encode(self, pixels):
            return pixels[:, :, :1, 0, 0].float()

        def rollout(self, z, actions):
            return z[:, -1:] + 2 * torch.arange(1, sensitivity.HORIZON + 1)[None, :, None]

    pixels = torch.arange(8, dtype=torch.uint8)[None, :, None, None, None].expand(4, 8, 3, 2, 2)
    errors = sensitivity.prediction_errors(Counter(), pixels, torch.zeros(4, 7, 2))
    assert errors.tolist() == [[1, 4, 9, 16, 25, 25]] * 4


@pytest.fixture(scope="module")
def run(tmp_path_factory, two_room_data):
    """A tiny run, and a copy of the data that it was trained on."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(two_room_data.path, folder / "data")
    assert run_program(train.main, *TINY, f"data.path={folder / 'data'}", f"output_dir={folder}") is None
    return folder


def test_a_run_is_judged(run, capsys):
    sensitivity.main([str(run / "tiny"), "--frames", "4"])
    printed = capsys.readouterr().out
    for word in ("agent_x off by", "agent_y off by", "prediction, 1 ahead", "prediction, 5 ahead", "no change"):
        assert word in printed


def test_a_run_is_judged_on_its_own_held_out_episodes(run, two_room_data):
    opened = Run.open(run / "tiny")
    clip = sensitivity.held_out_clips(opened, 50, np.random.default_rng(0))
    _, held_out = opened.split(two_room_data)
    recorded = np.concatenate([two_room_data.states[two_room_data.index.frames(episode)] for episode in held_out])
    assert all((state == recorded).all(1).any() for state in clip.states[:, 0].numpy())


def test_other_data_where_those_of_the_run_were_are_refused(run, tmp_path):
    kept, other = run / "kept", collect_two_room(tmp_path / "other", num_episodes=4, max_steps=40, seed=5)
    (run / "data").rename(kept)
    try:
        shutil.copytree(other.path, run / "data")
        assert_one_line_error(run_program(lambda: sensitivity.main([str(run / "tiny")])), "not the dataset")
    finally:
        shutil.rmtree(run / "data")
        kept.rename(run / "data")


@pytest.mark.parametrize(("arguments", "words"), [([], ["holds no checkpoint"]), (["--frames", "0"], ["--frames 0"])])
def test_bad_arguments_are_refused(tmp_path, arguments, words):
    code = run_program(lambda: sensitivity.main([str(tmp_path), *arguments]))
    assert_one_line_error(code, *words)
