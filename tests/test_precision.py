"""Precision is what the hardware is fast in, unless the user chooses."""

import pytest
import torch

from lewm import precision
from lewm.config import CONFIGS
from lewm.errors import InputError
from lewm.heads.config import read_heads
from lewm.models.rollout.build import build_rollout
from lewm.precision import choose_inference_precision, choose_precision, has_bfloat16
from tests.models.rollout.test_cached import make_model
from tests.programs import compose


def pretend(monkeypatch, capability, mkldnn, avx512=False, amx=False):
    """Lets torch report a CPU of these instructions."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    answers = {
        "_is_mkldnn_bf16_supported": mkldnn,
        "_is_avx512_bf16_supported": avx512,
        "_is_amx_tile_supported": amx,
    }
    monkeypatch.setattr(precision, "_asked_of_torch", lambda module, name: answers[name])


@pytest.mark.parametrize(
    ("capability", "mkldnn", "avx512", "amx", "has_it"),
    [
        ("AVX2", False, False, False, False),
        ("AVX512", True, False, False, False),  # oneDNN would imitate bfloat16
        ("AVX512", True, True, False, True),
        ("AVX512", True, False, True, True),
        ("AVX512", False, True, True, False),
        ("DEFAULT", True, False, False, True),  # ARM with its own instructions
        ("DEFAULT", False, False, False, False),
    ],
)
def test_a_cpu_has_bfloat16_where_it_has_instructions_for_it(monkeypatch, capability, mkldnn, avx512, amx, has_it):
    pretend(monkeypatch, capability, mkldnn, avx512, amx)
    assert has_bfloat16("cpu") is has_it


def test_a_build_of_torch_that_cannot_tell_has_no_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert has_bfloat16("cpu") is False


@pytest.mark.parametrize("emulates_only", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_has_none(monkeypatch, emulates_only):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or not emulates_only
    )
    assert has_bfloat16("cuda") is not emulates_only


@pytest.mark.parametrize(("has_it", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_what_the_device_has(monkeypatch, has_it, chosen):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has_it)
    assert choose_precision("training.precision", "auto", "cpu") == chosen


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("has_it", [True, False])
def test_what_the_user_asks_for_is_taken_on_any_device(monkeypatch, asked, has_it):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has_it)
    assert choose_precision("training.precision", asked, "cpu") == asked


def test_another_word_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"training\.precision='half'; there are auto, float32, bfloat16"):
        choose_precision("training.precision", "half", "cpu")


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml")))
def test_every_preset_leaves_the_precision_to_the_hardware(name):
    assert compose(f"experiment={name}").training.precision == "auto"


def test_plans_are_the_same_on_every_cpu_and_follow_the_hardware_on_a_gpu(monkeypatch):
    for has_it, on_gpu in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, has_it=has_it: has_it)
        planning = compose().planning
        assert planning.precision == "auto"
        assert build_rollout(make_model(), planning, "cpu").dtype == torch.float32
        for device in ("cuda", "cuda:0"):
            assert build_rollout(make_model(), planning, device).rollout.dtype == on_gpu


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_the_user_asks_for_is_taken_for_plans(asked, device):
    assert choose_inference_precision("planning.precision", asked, device) == asked


def test_another_word_is_refused_for_plans():
    with pytest.raises(InputError, match=r"fitting\.precision='half'; there are auto, float32, bfloat16"):
        choose_inference_precision("fitting.precision", "half", "cpu")


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "planning").glob("*.yaml")))
def test_every_way_of_planning_leaves_the_precision_to_the_hardware(name):
    assert compose(f"planning={name}").planning.precision == "auto"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "head").glob("*.yaml")))
def test_every_head_leaves_the_precision_to_the_hardware(name):
    assert read_heads([name])[0].fitting.precision == "auto"
