"""scripts/plan.py and scripts/compare.py with a tiny trained run."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import train
from lewm.config import CONFIGS, PlanConfig
from lewm.errors import InputError
from lewm.evaluation.manifest import Manifest
from lewm.run import Run
from scripts import collect, compare, plan, train_head
from tests.programs import TINY, TINY_EVALUATION, assert_one_line_error, compose, run_program


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, two_room_data):
    """The folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp("runs")
    assert run_program(train.main, *TINY, f"data.path={two_room_data.path}", f"output_dir={folder}") is None
    return folder / "tiny"


def run_plan(run_dir, *overrides):
    return run_program(plan.main, f"run={run_dir}", "device=cpu", "num_threads=1", *TINY_EVALUATION, *overrides)


def data_path_of(run_dir):
    return results_of(run_dir)["identity"]["config"]["data"]["path"]


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_results_tell_which_model_and_which_policy_it_was(tiny, two_room_data):
    assert run_plan(tiny, "name=identity", "seed=7") is None
    identity = results_of(tiny / "identity")["identity"]
    assert identity["weights_hash"] == results_of(tiny)["identity"]["weights_hash"]
    assert identity["dataset_hash"] == two_room_data.content_hash
    assert identity["config"]["model"]["embedding_dim"] == 8
    assert (identity["policy"]["name"], identity["policy"]["seed"]) == ("mpc", 7)
    assert identity["policy"]["planner"]["num_samples"] == 6


def test_traces_tell_of_distances_costs_times_and_what_was_imagined(tiny):
    with np.load(tiny / "traces.npz") as traces:
        shapes = {name: traces[name].shape for name in traces}
        assert (traces["observed_steps"] == [0, 5]).all()
        assert np.isfinite(traces["z_distance"]).all() and np.isfinite(traces["best_costs"]).all()
        assert traces["plan_milliseconds"].min() > 0
    assert shapes["states"] == (4, 11, 2) and shapes["distances"] == (4, 11)
    assert shapes["z_distance"] == (4, 2) and shapes["best_costs"][:2] == (4, 2)
    assert shapes["imagined_z"] == (1, 2, 8)
    assert shapes["imagined_frames"] == shapes["real_frames"] == (1, 2, 48, 48, 3)


def test_planning_tells_its_plans_its_encoder_calls_and_its_times(tiny):
    planning = results_of(tiny)["planning"]
    assert planning["plans_per_episode"] == 2
    assert planning["encoder_calls"] == 3  # the goal, the start, and the frame after 5 of 10 steps
    assert 0 < planning["milliseconds_per_plan_median"] <= planning["milliseconds_per_plan_p95"]


@pytest.fixture(scope="module")
def with_heads(tiny, tmp_path_factory):
    """A copy of the tiny run, with the heads of the policies that need one."""
    copied = shutil.copytree(tiny, tmp_path_factory.mktemp("with_heads") / "tiny")
    for head in ("inverse_dynamics", "behaviour_cloning"):
        sizes = ("head.hidden_dim=8", "head.num_layers=2", "fitting.num_steps=2", "fitting.batch_size=4")
        assert (
            run_program(train_head.main, f"run={copied}", f"head={head}", "device=cpu", "num_threads=1", *sizes) is None
        )
    return copied


@pytest.mark.parametrize(("policy", "plans", "encoded"), [("amortized", 2, 3), ("behaviour_cloning", 2, 4)])
def test_policies_that_do_not_search_are_evaluated_with_their_times(with_heads, policy, plans, encoded):
    assert run_plan(with_heads, f"policy={policy}", f"name={policy}") is None
    results = results_of(with_heads / policy)
    assert len(results["pairs"]) == 4
    assert (results["planning"]["plans_per_episode"], results["planning"]["encoder_calls"]) == (plans, encoded)
    assert results["planning"]["milliseconds_per_plan_median"] > 0
    assert results["identity"]["policy"]["name"] == policy


@pytest.mark.parametrize("policy", ["expert", "random", "no_op", "replay"])
def test_baselines_are_evaluated_on_the_same_pairs(tiny, policy):
    assert run_plan(tiny, f"policy={policy}", f"name={policy}") is None
    results, of_model = results_of(tiny / policy), results_of(tiny)
    assert [pair["start_state"] for pair in results["pairs"]] == [pair["start_state"] for pair in of_model["pairs"]]
    assert results["identity"]["policy"]["name"] == policy
    assert results["planning"] is None
    if policy != "expert":
        assert results["model"] == results["baselines"][policy]


def test_as_many_threads_as_the_command_line_says_are_used(tiny):
    seen = []

    def main():
        plan.main()
        seen.append(torch.get_num_threads())

    words = (f"run={tiny}", "device=cpu", *TINY_EVALUATION, "policy=no_op", "name=threads")
    assert run_program(main, *words, "num_threads=3") is None
    assert seen == [3]


def test_no_ffmpeg_is_needed_where_no_film_is_written(tiny):
    words = [*TINY_EVALUATION, f"run={tiny}", "device=cpu", "num_threads=1", "evaluation.num_videos=0", "name=unfilmed"]
    without = f"import sys; sys.modules['imageio_ffmpeg'] = None; sys.argv = ['plan', *{words!r}]"
    source = f"{without}; from scripts.plan import main; main()"
    subprocess.run([sys.executable, "-c", source], check=True, cwd=CONFIGS.parent, capture_output=True)
    assert (tiny / "unfilmed" / "report.html").exists()


def test_the_expert_acts_without_its_noise():
    noisy = {"name": "two_room", "noise_std": 2.0, "repeat_probability": 0.05}
    assert plan.without_noise(noisy) == {"name": "two_room", "noise_std": 0.0, "repeat_probability": 0.0}
    mixture = {
        "name": "mixture",
        "parts": [{"weight": 1, "expert": noisy}, {"weight": 1, "expert": {"name": "uniform"}}],
    }
    assert plan.without_noise(mixture) == plan.without_noise(noisy)


def test_the_papers_protocol_has_a_name():
    config = compose("run=x", "protocol=lewm", program="plan", schema=PlanConfig)
    evaluation, planning, planner = config.evaluation, config.planning, config.planner
    assert (evaluation.offset, evaluation.budget, evaluation.num_pairs) == (25, 50, 50)
    assert 5 * planning.num_executed == 25
    assert (planning.goal_cost, planning.horizon, planning.context) == ("last_distance", 5, 1)
    assert (planner["name"], planner["num_samples"], planner["num_elites"], planner["num_iterations"]) == (
        "cem",
        300,
        30,
        30,
    )


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml")))
def test_the_papers_protocol_is_the_same_after_every_experiment(experiment):
    trained = compose(f"experiment={experiment}", "protocol=lewm")
    alone = compose("run=x", "protocol=lewm", program="plan", schema=PlanConfig)
    for part in ("planner", "planning", "evaluation"):
        assert getattr(trained, part) == getattr(alone, part)


def test_the_environment_of_the_training_can_be_named(tiny):
    recipe = ("env.collection.num_episodes=12", "env.collection.max_steps=40", "env.collection.num_test_episodes=6")
    given = ("env=two_room", "env.frame_size=48", *recipe, "name=named")
    assert run_plan(tiny, *given, f"data_path={data_path_of(tiny)}") is None
    assert results_of(tiny / "named")["pairs"] == results_of(tiny)["pairs"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("env=two_room", ["env.frame_size=64", "give env.frame_size=48"]),
        ("env=pendulum", ["env.frame_size=64", "48"]),
        ("env=push_tee", ["did you mean 'push_t'"]),
    ],
)
def test_an_environment_that_does_not_fit_the_model_is_refused(tiny, override, words):
    assert_one_line_error(run_plan(tiny, override), *words)


def test_an_environment_with_actions_of_another_size_is_refused(tiny, tmp_path):
    env, path = ("env=pendulum", "env.frame_size=48", "env.frameskip=5"), tmp_path / "pendulum"
    small = ("num_episodes=4", "env.collection.max_steps=30", "num_workers=1", f"data_path={path}")
    assert run_program(collect.main, *env, *small) is None
    code = run_plan(tiny, *env, f"data_path={path}")
    assert_one_line_error(code, "have 1 dimensions", "trained on 2", "data_path")


def test_on_other_data_every_episode_counts_as_held_out(tiny, tmp_path, capsys):
    path = tmp_path / "two_room"
    sizes = ("env=two_room", "env.frame_size=48", "env.collection.max_steps=40", "env.collection.seed=9")
    assert run_program(collect.main, *sizes, "num_episodes=4", "num_workers=1", f"data_path={path}") is None
    assert run_plan(tiny, f"data_path={path}", "evaluation.num_pairs=4", "name=other_data") is None
    results = results_of(tiny / "other_data")
    assert len({pair["episode"] for pair in results["pairs"]}) == 2  # the other two are for validation
    assert results["protocol"]["dataset_hash"] != results["identity"]["dataset_hash"]
    assert np.isfinite([value for tag, value in results["diagnostics"].items() if tag.startswith("probe/")]).all()
    assert "every episode counts as held out" in " ".join(capsys.readouterr().out.split())


def test_validation_pairs_are_of_the_held_out_episodes_of_the_run(tiny, two_room_data):
    assert run_plan(tiny, "evaluation.split=validation", "name=by_validation") is None
    results = results_of(tiny / "by_validation")
    _, held_out = Run.open(tiny).split(two_room_data)
    assert {pair["episode"] for pair in results["pairs"]} <= set(held_out.tolist())
    assert (
        results["protocol"]["dataset_hash"]
        == two_room_data.content_hash
        != results_of(tiny)["protocol"]["dataset_hash"]
    )


def test_probes_of_other_data_are_fitted_on_every_second_episode_and_judged_on_the_others(tiny, two_room_data):
    run, nothing, everything = Run.open(tiny), np.zeros(0, np.int64), np.arange(len(two_room_data))
    validation = plan.draw_validation(run, two_room_data, nothing, everything)
    for clip, first in ((validation.fit, 0), (validation.held_out, 1)):
        own = np.concatenate([two_room_data.states[two_room_data.index.frames(i)] for i in everything[first::2]])
        states = set(map(tuple, own))
        assert {tuple(state) for state in clip.states.flatten(0, 1).numpy()} <= states


def test_a_single_episode_of_other_data_is_too_little_for_probes(tiny, two_room_data):
    with pytest.raises(InputError, match="1 episode, and probes need at least 2"):
        plan.draw_validation(Run.open(tiny), two_room_data, np.zeros(0, np.int64), np.zeros(1, np.int64))


def test_heads_that_act_are_part_of_what_was_evaluated(tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny, run)
    short = ("fitting.num_steps=2", "fitting.batch_size=4", "head.hidden_dim=8", "device=cpu", "num_threads=1")
    hashes = []
    for seed in (0, 1):
        assert run_program(train_head.main, f"run={run}", "head=inverse_dynamics", f"seed={seed}", *short) is None
        assert run_plan(run, "policy=amortized") is None
        hashes.append(results_of(run / "plan")["identity"]["policy"]["heads"]["inverse_dynamics"])
    assert hashes[0] != hashes[1]
    assert run_plan(run) is None
    assert results_of(run / "plan")["identity"]["policy"]["heads"] == {}


def test_the_papers_protocol_can_be_had_with_another_planner():
    config = compose("run=x", "protocol=lewm", "planner=cem", program="plan", schema=PlanConfig)
    assert config.planner["num_iterations"] != 30
    assert config.evaluation.num_pairs == 50


def test_a_strict_evaluation_has_no_pair_that_is_solved_at_the_start(tiny):
    assert run_plan(tiny, "evaluation.strict=true", "evaluation.offset=5", "name=strict") is None
    results = results_of(tiny / "strict")
    assert results["already_solved"] == 0 and results["protocol"]["strict"]


def test_a_given_manifest_is_played(tiny, two_room_data, tmp_path):
    given = Manifest.load(tiny / "manifest.json").first(2)
    given.save(tmp_path / "given.json")
    assert run_plan(tiny, f"evaluation.manifest={tmp_path / 'given.json'}", "name=given") is None
    assert [pair["episode"] for pair in results_of(tiny / "given")["pairs"]] == given.episodes


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["planning.horizon=0"], ["planning.horizon=0"]),
        (["planner.num_elites=7"], ["num_elites=7", "num_samples=6"]),
        (["evaluation.offset=41"], ["evaluation.offset=41", "steps"]),
        (["evaluation.offset=0"], ["evaluation.offset=0"]),
        (["evaluation.split=train"], ["evaluation.split='train'", "test", "validation"]),
        (["evaluation.start=fast"], ["evaluation.start='fast'", "recorded", "rest"]),
        (["evaluation.manifest=nowhere.json"], ["nowhere.json"]),
        (["evaluation.num_workers=0"], ["evaluation.num_workers=0"]),
        (["policy=expart"], ["policy='expart'", "expert"]),
        (["policy=expert", "expert={name: two_rom}"], ["two_rom", "two_room"]),
        (["policy=amortized"], ["inverse_dynamics", "train-head"]),
        (["policy=behaviour_cloning"], ["behaviour_cloning", "train-head"]),
        (["protocol=lewn"], ["lewn", "lewm"]),
    ],
)
def test_bad_input_is_refused_in_one_line(tiny, overrides, words):
    assert_one_line_error(run_plan(tiny, "name=bad", *overrides), *words)
    assert not (tiny / "bad" / "results.json").exists()


def test_a_manifest_of_other_data_is_refused_in_one_line(tiny, tmp_path):
    path = tmp_path / "other.json"
    replace(Manifest.load(tiny / "manifest.json"), dataset_hash="abc").save(path)
    assert_one_line_error(run_plan(tiny, "name=bad", f"evaluation.manifest={path}"), str(path), "other data")


def test_a_run_without_a_checkpoint_is_refused_in_one_line(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert_one_line_error(run_plan(tmp_path / "run"), f"{tmp_path}/run", "no checkpoint")


def test_two_evaluations_of_the_same_pairs_are_compared(tiny, tmp_path, capsys):
    assert run_plan(tiny, "policy=replay", "name=for_comparison") is None
    out = tmp_path / "difference.json"
    compare.main([str(tiny / "for_comparison"), str(tiny), "--out", str(out)])
    found = json.loads(out.read_text())["differences"]["success"]
    reached = [[pair["reached"] for pair in results_of(folder)["pairs"]] for folder in (tiny / "for_comparison", tiny)]
    assert found["difference"] == pytest.approx(np.mean(reached[0]) - np.mean(reached[1]))
    assert found["low"] <= found["difference"] <= found["high"]
    printed = capsys.readouterr().out
    assert "sign flips" in printed and "policy replay" in printed


def test_evaluations_of_other_pairs_are_not_compared(tiny):
    assert run_plan(tiny, "evaluation.manifest_seed=1", "policy=no_op", "name=other_pairs") is None
    with pytest.raises(SystemExit) as end:
        compare.main([str(tiny), str(tiny / "other_pairs")])
    assert_one_line_error(end.value.code, "cannot be compared")
