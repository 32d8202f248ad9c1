"""The benchmark of plans compares the same plan, and writes what it measured."""

import json

import pytest
import torch

from scripts.benchmarks import planning as benchmark
from scripts.benchmarks import planning_parts, planning_peer
from tests.programs import assert_one_line_error, run_program

SMALL = ("--model", "micro", "--frame-size", "64", "--samples", "8", "--elites", "2", "--iterations", "2")
QUICK = ("--repeats", "1", "--threads", "1")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "table.json"
    benchmark.main([*SMALL, *QUICK, "--num-envs", "2", "--json", str(path)])
    return json.loads(path.read_text())


def test_every_contender_and_every_part_has_its_time(results):
    assert {benchmark.OURS, benchmark.OURS_BFLOAT16} <= results["plan_ms"].keys()
    times = results["plan_ms"] | results["parts_ms"] | results["smaller_ms"]
    assert all(value > 0 for value in times.values())


def test_the_rollouts_that_are_timed_agree(results):
    agreement = results["agreement"]
    assert agreement["embeddings_of_plain_rollout"] < 1e-5 < agreement["embedding_std"]


def test_the_cached_rollout_has_fewer_operations_than_the_plain_one(results):
    assert 0 < results["floor"]["gflop"] < 0.8 * results["floor"]["gflop_plain"]


def test_the_results_name_the_machine_and_what_was_measured(results):
    assert results["machine"]["num_cores"] >= 1
    assert results["arguments"]["samples"] == 8


@pytest.mark.skipif(not planning_peer.is_installed(), reason="needs the package stable-worldmodel")
def test_the_peer_with_our_weights_has_our_costs():
    config = planning_parts.from_dict(planning_parts.option("model", "paper"), planning_parts.ModelConfig)
    model = planning_parts.random_model(config, 56)
    peer = planning_peer.their_model(model, config, planning_parts.ACTION_DIM)
    theirs = planning_peer.TheirPlanner(peer, 4, 2, 5, planning_parts.ACTION_DIM, 1)
    frames, goals = (torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8) for _ in range(2))
    planner = planning_parts.option("planner", "cem_paper") | {"num_samples": 4, "num_elites": 2}
    mpc = planning_parts.make_mpc(model, planner, {"horizon": 5})
    agreement = planning_parts.agreement(mpc, model, frames, goals, 4, theirs)
    assert agreement["relative_cost_of_peer"] < 1e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samples", "0"], ["--samples 0"]),
        (["--elites", "301"], ["--elites 301", "--samples 300"]),
        (["--repeats", "0"], ["--repeats 0"]),
        (["--model", "papr"], ["--model papr"]),
        (["--json", "/none/table.json"], ["--json", "/none"]),
    ],
)
def test_a_mistake_is_one_line(arguments, words):
    assert_one_line_error(run_program(benchmark.main, *arguments), *words)
