"""Validation on fixed clips of a model that reads (step, episode) off counting frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lewm.data.clips import Clips
from lewm.data.normalize import ActionNormalizer
from lewm.diagnostics.gaussianity import gaussianity_report
from lewm.diagnostics.geometry import distance_rank_correlation
from lewm.diagnostics.validation import Validation

FRAMESKIP = 2


class CountingModel(nn.Module):
    """Reads (step, episode) from counting frames, and predicts the frame `speed` steps later."""

    context = 2

    def __init__(self, speed):
        super().__init__()
        self.speed = nn.Parameter(torch.tensor([speed, 0.0]))

    def encode(self, pixels):
        return pixels[:, :, :2, 0, 0].float()

    def predict(self, z, actions):
        return z + self.speed


class ClockModel(CountingModel):
    """Embeds the step as the hand of a clock: a perfect code of it as an angle."""

    def encode(self, pixels):
        step = super().encode(pixels)[..., 0]
        return torch.stack([step.cos(), step.sin()], -1)


def draw_validation(data, metadata):
    normalizer = ActionNormalizer((0.0, 0.0), (1.0, 1.0))
    fit, held_out = (Clips(data, np.array(ids), 3, FRAMESKIP, normalizer) for ids in ([0, 2], [3, 4]))
    return Validation.draw(fit, held_out, metadata, num_clips=12, seed=0)


@pytest.fixture
def validation(counting_data):
    return draw_validation(counting_data, counting_data.metadata)


def test_validation_draws_clips_of_each_split_or_all_there_are(validation):
    assert len(validation.fit.pixels) == 12
    assert len(validation.held_out.pixels) == 12
    assert set(validation.fit.states[..., 0].flatten().tolist()) == {0.0, 2.0}
    assert set(validation.held_out.states[..., 0].flatten().tolist()) == {3.0, 4.0}


def test_validation_of_a_perfect_model(validation):
    numbers = validation(CountingModel(float(FRAMESKIP)))
    assert numbers["probe/r2_step"] == pytest.approx(1, abs=1e-6)
    assert numbers["val/prediction"] == 0
    assert numbers["val/prediction_over_copy_last"] == 0
    assert numbers["val/effective_rank"] > 1


def test_a_model_that_copies_the_last_frame_has_the_ratio_1(validation):
    assert validation(CountingModel(0.0))["val/prediction_over_copy_last"] == pytest.approx(1)


def test_probes_of_a_validation_are_fitted_on_the_training_split_alone(validation):
    held_out = validation.held_out._replace(states=-validation.held_out.states)  # another law than the training split's
    assert replace(validation, held_out=held_out)(CountingModel(0.0))["probe/r2_step"] < -2


def test_a_validation_knows_the_angles_of_its_data(counting_data):
    validation = draw_validation(counting_data, replace(counting_data.metadata, angles=["step"]))
    numbers, states = validation(ClockModel(0.0)), validation.held_out.states.flatten(0, 1)
    assert numbers["probe/r2_step"] == pytest.approx(1, abs=1e-6)
    z = ClockModel(0.0).encode(validation.held_out.pixels).flatten(0, 1)
    expected = distance_rank_correlation(z, states, angles=[1])["rank_correlation"]
    assert numbers["geometry/rank_correlation"] == expected
    assert expected > distance_rank_correlation(z, states)["rank_correlation"] + 0.1


def gaussianity_of(validation, model):
    numbers = validation(model)
    return {tag.removeprefix("gaussianity/"): value for tag, value in numbers.items() if tag.startswith("gaussianity/")}


def test_validation_reports_the_gaussianity_of_one_frame_of_each_held_out_clip(validation):
    first_frames = CountingModel(0.0).encode(validation.held_out.pixels)[:, 0]
    assert gaussianity_of(validation, CountingModel(0.0)) == gaussianity_report(first_frames)


def test_validation_of_fewer_clips_than_a_test_needs_leaves_the_report_out(counting_data):
    clips = Clips(counting_data, np.array([0, 2]), 3, FRAMESKIP, ActionNormalizer((0.0, 0.0), (1.0, 1.0)))
    few = Validation.draw(clips, clips, counting_data.metadata, num_clips=7, seed=0)
    assert gaussianity_of(few, CountingModel(0.0)) == {}
    assert "val/prediction" in few(CountingModel(0.0))
