"""What a training runs on is chosen once, printed, and recorded."""

import pytest
from accelerate.state import AcceleratorState

from lewm import precision
from lewm.training.accelerator import describe_accelerator, start_accelerator
from tests.programs import TINY, compose


@pytest.fixture
def start():
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
