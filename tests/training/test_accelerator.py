"""What a training runs on is chosen once, printed, and recorded."""

import pytest
from accelerate.state import AcceleratorState

from lewm import precision
from lewm.training.accelerator import (
    REFUSED,
    check_launcher,
    describe_accelerator,
    launched_precision,
    start_accelerator,
)
from tests.programs import TINY, compose, refusal


@pytest.fixture
def start():
    AcceleratorState._reset_state(reset_partial_state=True)  # of tests before
    yield start_accelerator
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("has_it", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_that_auto_chose_is_used_printed_and_described(monkeypatch, capsys, start, has_it, chosen):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has_it)
    accelerator = start(compose(*TINY))
    assert describe_accelerator(accelerator)["precision"] == chosen
    assert accelerator.mixed_precision == {"bfloat16": "bf16", "float32": "no"}[chosen]
    assert f"device cpu, precision {chosen}, num_processes 1, num_threads 1" in capsys.readouterr().out


def test_a_precision_of_the_user_is_kept(monkeypatch, start):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    assert describe_accelerator(start(compose(*TINY, "training.precision=float32")))["precision"] == "float32"


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_of_the_launcher_that_would_be_ignored_is_refused(monkeypatch, start, name):
    value = "8" if name.endswith("STEPS") else "inductor" if "DYNAMO" in name else "true"
    monkeypatch.setenv(name, value)
    message = refusal(start, compose(*TINY))
    assert f"{name}={value}: {REFUSED[name]}" in message


def test_what_the_launcher_sets_by_itself_is_no_setting():
    check_launcher({name: "1" if name.endswith("STEPS") else "NO" for name in REFUSED})
    check_launcher({})


@pytest.mark.parametrize(
    ("asked", "launched", "chosen"),
    [
        ("auto", "no", "auto"),
        ("auto", "bf16", "bfloat16"),
        ("float32", "no", "float32"),
        ("bfloat16", "bf16", "bfloat16"),
        ("bfloat16", "no", "bfloat16"),
    ],
)
def test_the_mixed_precision_of_the_launcher_counts_where_the_configuration_says_nothing(asked, launched, chosen):
    assert launched_precision(asked, {"ACCELERATE_MIXED_PRECISION": launched}) == chosen
    assert launched_precision(asked, {}) == asked


@pytest.mark.parametrize(("asked", "launched"), [("float32", "bf16"), ("auto", "fp16"), ("bfloat16", "fp8")])
def test_a_mixed_precision_that_cannot_be_is_refused(asked, launched):
    message = refusal(launched_precision, asked, {"ACCELERATE_MIXED_PRECISION": launched})
    assert f"--mixed_precision {launched}" in message
