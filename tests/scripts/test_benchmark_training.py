"""The benchmark of a training step: rates, operations, and the parts of a step."""

import argparse
import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch

from lewm.training.throughput import count_flops
from scripts.benchmarks import training, training_case, training_peer
from scripts.benchmarks.training_case import PARTS, Case, Mark, Variant, make_trainer, parts_ms, time_steps
from tests.programs import refusal


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "table.json"
    cases = ["micro:48:16:4", "micro:48:16:8"]
    training.main(["--cases", *cases, "--precisions", "float32", "--steps", "2", "--threads", "1", "--json", str(path)])
    return json.loads(path.read_text())


def test_every_case_has_a_row_with_its_rates(results):
    assert [row["case"] for row in results["rows"]] == ["micro 48/16, 4", "micro 48/16, 8"]
    for row, batch_size in zip(results["rows"], (4, 8), strict=True):
        assert row["frames_per_s"] == pytest.approx(4 * batch_size / row["step_ms"] * 1e3)
        assert row["gflop_per_s"] == pytest.approx(row["gflop"] / row["step_ms"] * 1e3)
        assert row["mfu"] == pytest.approx(row["gflop_per_s"] / row["matrix_gflop_per_s"])
        assert set(row["parts_ms"]) == set(PARTS) and min(row["parts_ms"].values()) > 0
        assert (row["precision"], row["graph"], row["compile"]) == ("float32", False, False)
        assert row["num_parameters"] > 100_000


def test_twice_the_clips_take_twice_the_operations(results):
    small, large = (row["gflop"] for row in results["rows"])
    assert large == pytest.approx(2 * small, rel=0.05)  # a part of SIGReg does not grow with the batch


def test_the_results_name_the_machine_and_the_versions(results):
    assert results["machine"]["threads"] == 1
    assert results["versions"]["torch"]


def test_a_part_lasts_from_the_mark_before_to_its_own():
    marks, seconds = [], 0.0
    for step in range(2 + 3):
        for number, part in enumerate(PARTS, 1):
            seconds += number * (100.0 if step < 2 else 1.0)
            marks.append(Mark(part, seconds))
    assert parts_ms(marks, 2) == {part: 1e3 * number for number, part in enumerate(PARTS, 1)}


class FakeTrainer:
    """Makes steps of a second, the first `num_slow` ones of 100, each after 10 seconds of reading, by its own clock."""

    def __init__(self, num_steps, num_slow):
        self.config = SimpleNamespace(training=SimpleNamespace(num_steps=num_steps))
        self.num_slow, self.clock = num_slow, 0.0

    def step(self, index, clip):
        self.clock += 100 if index < self.num_slow else 1

    def fit(self):
        for index in range(self.config.training.num_steps):
            self.clock += 10
            self.step(index, "clip")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("peer", [False, True])
@pytest.mark.parametrize("num_counted", [1, 3, 20])
def test_a_step_is_timed_with_the_reading_of_its_clips_and_without_what_is_done_between(
    monkeypatch, device, peer, num_counted
):
    trainer, clips = FakeTrainer(2 + num_counted, num_slow=2), []

    def between(clip):
        clips.append(clip)
        trainer.clock += 1000

    monkeypatch.setattr(training_case, "now", lambda device: trainer.clock)
    assert time_steps(trainer, torch.device(device), 2, between if peer else None) == 11
    assert clips == ["clip"] * ((2 + num_counted) * peer)


@pytest.mark.parametrize(
    ("words", "device", "switches"),
    [
        (("auto", "auto"), "cpu", (False, False)),
        (("auto", "auto"), "cuda", (True, True)),
        (("false", "true"), "cuda", (False, True)),
        (("true", "false"), "cuda", (True, False)),
        (("false", "true"), "cpu", (False, True)),
    ],
)
def test_auto_is_what_a_training_on_the_device_has(words, device, switches):
    variant = Variant.choose("float32", *words, device)
    assert (variant.graph, variant.compile) == switches
    assert variant.num_warmup > (3 if any(switches) else 0)


def test_every_combination_is_measured_once():
    words = {"graph": ["auto", "false"], "compile": ["true", "auto", "false"]}
    args = {"cases": ["micro:48:16:4"], "precisions": ["float32"], "steps": 1, "device": "cpu", "json": None}
    _, variants = training.check(argparse.Namespace(**args, **words, peer=False))
    assert variants == [Variant("float32", False, True), Variant("float32", False, False)]


@pytest.mark.parametrize("switch", ["graph", "compile"])
def test_a_trainer_has_the_switches_of_its_variant(tmp_path, two_room_data, switch):
    variant = Variant("float32", graph=False, compile=False)
    sizes = {"device": "cpu", "num_threads": 1, "num_steps": 3}
    trainer = make_trainer(Case("micro", 48, 16, 4), variant, two_room_data, tmp_path / "run", **sizes)
    assert getattr(trainer.config.training, switch) is False
    assert trainer.config.training.precision == "float32"


def test_the_peer_has_one_model(monkeypatch):
    monkeypatch.setattr(training_peer, "PACKAGES", ())
    training_peer.check([Case("paper", 224, 14, 8)])
    assert "micro" in refusal(training_peer.check, [Case("paper", 224, 14, 8), Case("micro", 64, 16, 8)])
    monkeypatch.setattr(training_peer, "PACKAGES", ("json", "not_installed"))
    assert "uv run --with" in refusal(training_peer.check, [Case("paper", 224, 14, 8)])


@pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in training_peer.PACKAGES),
    reason="needs the package stable-worldmodel[train]",
)
def test_the_peers_step_has_the_parameters_and_the_operations_of_ours(tmp_path, two_room_data):
    sizes = {"device": "cpu", "num_threads": 1, "num_steps": 1}
    variant = Variant("float32", graph=False, compile=False)
    trainer = make_trainer(Case("paper", 48, 16, 4), variant, two_room_data, tmp_path / "run", **sizes)
    peer, clip = training_peer.TheirStep(trainer), trainer.clips.__getitems__([0, 20, 40, 60])
    ours = sum(parameter.numel() for parameter in trainer.model.parameters())
    assert peer.num_parameters == ours
    before = torch.cat([parameter.detach().flatten().clone() for parameter in peer.model.parameters()])
    assert count_flops(lambda: peer(clip)) == pytest.approx(count_flops(trainer.fit), rel=0.05)
    after = torch.cat([parameter.detach().flatten() for parameter in peer.model.parameters()])
    assert len(peer.seconds) == 1 and (before != after).float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "micro:64:16"], "--cases micro:64:16: give model:frame size:patch size:batch size"),
        (["--cases", "mikro:64:16:32"], "mikro is no file of configs/model"),
        (["--cases", "micro:64:x:32"], "--cases micro:64:x:32"),
        (["--steps", "0"], "--steps 0 must be at least 1"),
        (["--graph", "true"], "--graph true records a CUDA graph: give --device cuda"),
        (["--json", "nowhere/table.json"], "no folder nowhere"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_is_measured(arguments, message):
    with pytest.raises(SystemExit, match=message):
        training.main(arguments)
