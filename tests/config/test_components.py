"""Components are built of checked arguments, and a mistake in a constructor keeps its traceback."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import pytest
from torch import nn

from envs.experts import EXPERTS
from lewm.config import build
from lewm.config.components import check_arguments
from lewm.errors import InputError
from lewm.models import ENCODERS, PREDICTORS
from tests.registries import MODEL_CONFIGS


@dataclass
class Typed:
    """One argument of each kind that constructors of this project have."""

    count: int = 1
    rate: float = 1.0
    flag: bool = False
    word: str = ""
    option: dict[str, Any] | None = None
    numbers: Sequence[float] = ()
    parts: Mapping[str, float] = ()  # type: ignore[assignment]
    module: nn.Module | None = None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("count", value) for value in (0, -3, 2**62)),
        *(("rate", value) for value in (0, 1, 2.5, -1e30)),
        *(("option", value) for value in (None, {"name": "x"})),
        *(("numbers", value) for value in ([], [1, 2.5], (3.0,))),
        *(("parts", value) for value in ({}, {"x": 1})),
        ("flag", True),
        ("word", "x"),
        ("module", None),
    ],
)
def test_a_value_of_the_annotated_type_is_taken(key, value):
    assert getattr(build({"typed": Typed}, {"name": "typed", key: value}, "kind"), key) == value


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        *(("count", value, "int") for value in (1.5, True, "1", None, [1], 10**20)),
        *(("rate", value, "float") for value in ("1", False, None)),
        *(("flag", value, "bool") for value in (1, "true", None)),
        *(("word", value, "str") for value in (1, None, ["x"])),
        *(("option", value, "or null") for value in ("x", 1, [])),
        *(("numbers", value, "float") for value in ("12", 1, [1, "2"], None)),
        *(("parts", value, "float") for value in ({"x": "y"}, [1], 2)),
        ("module", "torch.nn.Identity", "Module or null"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_one_wanted(key, value, wanted):
    with pytest.raises(InputError) as error:
        build({"typed": Typed}, {"name": "typed", key: value}, "kind")
    assert f"kind typed: {key}={value!r} must be " in str(error.value)
    assert wanted in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_number_that_tensors_cannot_hold_is_refused(value):
    with pytest.raises(InputError, match=f"^kind typed: rate={re.escape(str(value))} must be a finite number"):
        build({"typed": Typed}, {"name": "typed", "rate": value}, "kind")


def test_a_constructor_that_knows_its_range_says_it_of_a_number_that_is_none():
    def constructor(share: float) -> None:
        raise InputError(f"share={share} must be between 0 and 1")

    with pytest.raises(InputError, match="share=nan must be between 0 and 1"):
        build({"shared": constructor}, {"name": "shared", "share": float("nan")}, "kind")


def test_a_component_cannot_have_an_argument_that_the_program_gives():
    with pytest.raises(InputError, match="no argument 'count'"):
        build({"typed": Typed}, {"name": "typed", "count": 3}, "kind", count=2)


@pytest.mark.parametrize("mistake", [TypeError, ValueError, AssertionError, KeyError, RuntimeError])
def test_a_mistake_in_a_constructor_keeps_its_traceback(mistake):
    def constructor(width: int) -> None:
        raise mistake("a bug")

    with pytest.raises(mistake, match="a bug") as raised:
        build({"broken": constructor}, {"name": "broken", "width": 1}, "kind")
    assert type(raised.value) is mistake


@pytest.mark.parametrize("refusal", [InputError, gym.error.Error])
def test_what_a_constructor_refuses_on_purpose_is_named_with_its_kind_and_arguments(refusal):
    def constructor(width: int) -> None:
        raise refusal(f"width={width} must be even")

    with pytest.raises(InputError, match=r"^kind picky: width=3 must be even \(in {'width': 3}\)$"):
        build({"picky": constructor}, {"name": "picky", "width": 3}, "kind")


def test_a_constructor_that_takes_any_argument_is_given_it():
    def constructor(width: int, **others: Any) -> None:
        """Takes all."""

    assert check_arguments(constructor, {"width": 1, "depth": 2}, given=()) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_heads": 5}, "num_heads=5 does not divide width="),
        ({"width": 66, "num_heads": 1, "positions": "sincos"}, "width=66 must be divisible by 4"),
        ({"patch_size": 7}, "patch_size=7 does not divide the frame size 64"),
    ],
)
def test_sizes_of_an_encoder_that_do_not_fit_are_refused_with_the_reason(changes, words):
    with pytest.raises(InputError, match=words):
        build(ENCODERS, MODEL_CONFIGS["micro"].encoder | changes, "encoder", image_size=64)


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    config = MODEL_CONFIGS["micro"].predictor | {"dropout": dropout}
    with pytest.raises(InputError, match=f"dropout={dropout} must be between 0 and 1"):
        build(PREDICTORS, config, "predictor", embedding_dim=8, context=3)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *((name, "noise_std", -1.0) for name in ("two_room", "push_t", "reacher", "cube", "pendulum", "mountain_car")),
        *((name, "repeat_probability", 1.5) for name in ("two_room", "push_t_brisk", "inverted_pendulum", "uniform")),
        ("push_t", "speed", 0.0),
        ("push_t_brisk", "speed", 2.0),
        ("push_t", "noise_correlation", 1.5),
        ("push_t", "pause_probability", -0.1),
        ("push_t", "pause_steps", 0.5),
        ("cube", "min_norm", -0.4),
        ("pendulum", "surplus", -0.1),
        ("reacher", "mode", "best"),
    ],
)
def test_an_expert_refuses_a_value_out_of_its_range(name, key, value):
    with pytest.raises(InputError, match=f"expert {name}: .*{value}"):
        build(EXPERTS, {"name": name, key: value}, "expert")


@pytest.mark.parametrize("value", ["big", True, None, float("inf")])
def test_an_expert_within_a_mixture_refuses_what_is_no_number(value):
    parts = [{"weight": 1, "expert": {"name": "two_room", "noise_std": value}}]
    with pytest.raises(InputError, match="expert two_room: noise_std="):
        build(EXPERTS, {"name": "mixture", "parts": parts}, "expert")
