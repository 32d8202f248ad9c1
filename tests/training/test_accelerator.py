"""What a training runs on is chosen once, printed, and recorded."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.commands import launch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env, prepare_simple_launcher_cmd_env
from omegaconf import OmegaConf

from lewm import precision
from lewm.config import read_yaml
from lewm.training.accelerator import (
    REFUSED,
    check_backend,
    check_launcher,
    describe_accelerator,
    launched_device,
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


@pytest.fixture
def variables_of(monkeypatch, tmp_path):
    """Function from accelerate's configuration file and flags to the variables that its launcher gives a program."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    given = {}
    for name, prepare in (
        ("simple_launcher", lambda args: prepare_simple_launcher_cmd_env(args)[1]),
        ("multi_gpu_launcher", prepare_multi_gpu_env),
    ):
        monkeypatch.setattr(launch, name, lambda args, prepare=prepare: given.update(prepare(args)))

    def variables(settings, *flags):
        file, one_process = tmp_path / "config.yaml", read_yaml(Path("scripts/one_process.yaml"))
        OmegaConf.save(OmegaConf.create({**one_process, **settings}), file)
        launch.launch_command(
            launch.launch_command_parser().parse_args(["--config_file", str(file), *flags, "train.py"])
        )
        return given

    return variables


@pytest.mark.parametrize(
    ("settings", "flags", "named"),
    [
        ({}, ["--dynamo_backend", "inductor"], "training.compile=true"),
        ({"dynamo_config": {"dynamo_backend": "EAGER"}}, [], "training.compile=true"),
        ({"distributed_type": "FSDP", "num_processes": 2, "main_process_port": 0, "fsdp_config": {}}, [], "FSDP"),
        ({"distributed_type": "MULTI_CPU", "num_processes": 2, "use_cpu": True}, [], "two_cpu_ranks.yaml"),
        ({}, ["--cpu", "--num_processes", "2"], "two_cpu_ranks.yaml"),
    ],
)
def test_what_accelerate_is_told_and_a_training_would_ignore_is_refused(variables_of, settings, flags, named):
    assert named in refusal(check_launcher, variables_of(settings, *flags))


@pytest.mark.parametrize(
    ("settings", "flags", "precision", "device"),
    [
        ({}, [], "auto", "auto"),
        ({}, ["--mixed_precision", "bf16"], "bfloat16", "auto"),
        ({"mixed_precision": "bf16"}, [], "bfloat16", "auto"),
        ({"use_cpu": True}, [], "auto", "cpu"),
        ({}, ["--cpu"], "auto", "cpu"),
    ],
)
def test_what_accelerate_is_told_about_precision_and_device_counts(variables_of, settings, flags, precision, device):
    variables = variables_of(settings, *flags)
    check_launcher(variables)
    assert (launched_precision("auto", variables), launched_device("auto", variables)) == (precision, device)


def test_half_precision_that_accelerate_is_told_is_refused(variables_of):
    assert "--mixed_precision fp16" in refusal(launched_precision, "auto", variables_of({"mixed_precision": "fp16"}))


def test_ranks_that_mpi_starts_on_cpus_are_none_to_refuse():
    check_launcher({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "PMI_SIZE": "2"})


def test_a_gpu_in_the_configuration_and_cpu_of_the_launcher_are_refused():
    assert "device=cuda" in refusal(launched_device, "cuda", {"ACCELERATE_USE_CPU": "true"})
    assert launched_device("cuda", {"ACCELERATE_USE_CPU": "False"}) == launched_device("cuda", {}) == "cuda"


def test_accumulated_gradients_of_another_project_end_a_training_before_it_begins(monkeypatch, start):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    message = refusal(start, compose(*TINY))
    assert "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4" in message
    assert "unset it" in message and "larger training.batch_size" in message


@pytest.mark.parametrize(
    ("device", "ranks", "fits"),
    [
        ("cpu", DistributedType.NO, True),
        ("cpu", DistributedType.MULTI_CPU, True),
        ("xla:0", DistributedType.XLA, False),
        ("mps", DistributedType.NO, False),
        ("cpu", DistributedType.DEEPSPEED, False),
    ],
)
def test_a_device_or_ranks_that_no_training_runs_on_are_refused(device, ranks, fits):
    chosen = SimpleNamespace(device=torch.device(device), distributed_type=ranks)
    if fits:
        check_backend(chosen, "cpu")
    else:
        message = refusal(check_backend, chosen, "cpu")
        assert device in message and ranks.value in message


def test_a_device_that_the_shell_gives_accelerate_is_refused_where_it_is_not_the_one_asked_for(monkeypatch, start):
    assert "ACCELERATE_TORCH_DEVICE" not in os.environ
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
    assert "device meta" in refusal(start, compose(*TINY))
