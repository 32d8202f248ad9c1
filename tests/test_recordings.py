"""Training on data of one's own, without an environment."""

import json
from dataclasses import replace

import numpy as np
import pytest

import train
from lewm.config import RecordingConfig
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from scripts import plan
from tests.programs import TINY, assert_one_line_error, compose, run_program
from tests.test_programs import plan_arguments

ARGUMENTS = [word for word in TINY if not word.startswith("env.collection.")]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, two_room_data):
    """Episodes of pixels and actions alone, as of a robot somewhere."""
    path = tmp_path_factory.mktemp("recordings") / "data"
    metadata = replace(two_room_data.metadata, env_id="imported/robot", state_names=[])
    with EpisodeWriter(path, metadata) as writer:
        for start, action, length in zip(
            two_room_data.index.frame_offsets, two_room_data.index.action_offsets, two_room_data.lengths, strict=True
        ):
            pixels = two_room_data.pixels[start : start + length + 1]
            writer.append(pixels, np.zeros((length + 1, 0)), two_room_data.actions[action : action + length])
    return Episodes(path)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, recordings):
    folder = tmp_path_factory.mktemp("runs")
    arguments = (*ARGUMENTS, "env=recorded", f"data.path={recordings.path}", f"output_dir={folder}")
    assert run_program(train.main, *arguments) is None
    return folder / "tiny"


def test_recordings_are_chosen_by_their_environment():
    assert isinstance(compose("env=recorded").env, RecordingConfig)


def test_training_on_recordings_reports_the_error_of_prediction(run_dir):
    diagnostics = json.loads((run_dir / "results.json").read_text())["diagnostics"]
    assert diagnostics["val/prediction_over_copy_last"] > 0
    assert not [tag for tag in diagnostics if tag.startswith("probe/")]


def test_a_model_of_recordings_has_nothing_to_plan_in(run_dir):
    assert_one_line_error(run_program(plan.main, *plan_arguments(run_dir)), "recordings", "no environment")


def test_recordings_are_not_taken_for_the_data_of_an_environment(tmp_path, recordings):
    arguments = (*TINY, f"data.path={recordings.path}", f"output_dir={tmp_path}")
    assert_one_line_error(run_program(train.main, *arguments), "imported/robot", "env=recorded")


@pytest.mark.parametrize("device", ["cuda", "disk"])
def test_frames_stay_on_a_gpu_only_where_the_model_is(tmp_path, two_room_data, device):
    arguments = (*TINY, f"data.path={two_room_data.path}", f"output_dir={tmp_path}", f"data.device={device}")
    assert_one_line_error(run_program(train.main, *arguments), f"data.device='{device}'")
