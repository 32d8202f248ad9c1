"""The benchmark of a training step: rates, operations, and the parts of a step."""

import json

import pytest

from scripts.benchmarks import training
from scripts.benchmarks.training import PARTS, WARMUP, Mark, parts_ms


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


def test_twice_the_clips_take_twice_the_operations(results):
    small, large = (row["gflop"] for row in results["rows"])
    assert large == pytest.approx(2 * small, rel=0.05)  # a part of SIGReg does not grow with the batch


def test_the_results_name_the_machine_and_the_versions(results):
    assert results["machine"]["threads"] == 1
    assert results["versions"]["torch"]


def test_a_part_lasts_from_the_mark_before_to_its_own():
    marks, seconds = [], 0.0
    for step in range(WARMUP + 3):
        for number, part in enumerate(PARTS, 1):
            seconds += number * (100.0 if step < WARMUP else 1.0)
            marks.append(Mark(part, seconds))
    assert parts_ms(marks) == {part: 1e3 * number for number, part in enumerate(PARTS, 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "micro:64:16"], "--cases micro:64:16: give model:frame size:patch size:batch size"),
        (["--cases", "mikro:64:16:32"], "mikro is no file of configs/model"),
        (["--cases", "micro:64:x:32"], "--cases micro:64:x:32"),
        (["--steps", "0"], "--steps 0 must be at least 1"),
        (["--json", "nowhere/table.json"], "no folder nowhere"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_is_measured(arguments, message):
    with pytest.raises(SystemExit, match=message):
        training.main(arguments)
