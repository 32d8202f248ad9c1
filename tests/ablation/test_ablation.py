"""The cells of a sweep, their table, and what is said of them."""

import csv
import math
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from lewm.ablation.cells import make_cells
from lewm.ablation.findings import findings
from lewm.ablation.launching import last_error
from lewm.ablation.page import page, save_report
from lewm.ablation.table import Table, save_csv
from lewm.errors import InputError
from tests.ablation.fake_cells import FinishedCell, make_results, write_cell

SWEEP = ("regularizer=sigreg,none", "seed=0,1,2")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The cells of SWEEP, none of them begun; tests that write use `cells`."""
    return make_cells(SWEEP, tmp_path_factory.mktemp("swept"))


@pytest.fixture
def cells(swept, tmp_path):
    return [replace(cell, folder=tmp_path / cell.name) for cell in swept]


def fill(cells, rates, diagnostics, num_pairs=100):
    """Writes all cells: each column solves its share of the pairs, the same for each seed or not, the easiest first."""
    for number, cell in enumerate(cells):
        reached = np.arange(num_pairs) < num_pairs * np.broadcast_to(rates[cell.column], 3)[cell.seed]
        write_cell(cell, reached, {tag: values[number] for tag, values in diagnostics.items()})


# Cells.


def test_a_sweep_is_the_product_of_its_values_with_the_first_key_slowest(swept):
    assert [cell.name for cell in swept] == [f"{name}_seed{seed}" for name in ("sigreg", "none") for seed in range(3)]
    assert [cell.config.regularizer["name"] for cell in swept] == ["sigreg"] * 3 + ["none"] * 3
    assert [cell.config.seed for cell in swept] == [0, 1, 2] * 2


def test_a_cell_is_trained_in_its_own_folder(tmp_path):
    cell = make_cells(["seed=4,5"], tmp_path / "a folder")[1]
    assert cell.config.run_dir == cell.folder == tmp_path / "a folder" / "seed5"
    assert f"output_dir='{tmp_path}/a folder'" in cell.arguments


def test_numbers_are_swept_as_choices_are(tmp_path):
    cells = make_cells(["regularizer=sigreg", "regularizer.weight=0.3,1e-3", "seed=7"], tmp_path)
    assert [cell.name for cell in cells] == ["weight0.3_seed7", "weight0.001_seed7"]
    assert [cell.config.regularizer["weight"] for cell in cells] == [0.3, 0.001]


def test_components_are_swept_whole(tmp_path):
    cells = make_cells(["model.flow=null,affine_coupling"], tmp_path)
    assert [cell.config.model.flow for cell in cells] == [None, {"name": "affine_coupling"}]


def test_the_last_of_two_values_for_a_key_counts(tmp_path):
    cells = make_cells(["training.num_steps=5", "seed=0,1", "training.num_steps=6"], tmp_path)
    assert [cell.config.training.num_steps for cell in cells] == [6, 6]


def test_the_same_cell_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="are one cell, sigreg_seed0"):
        make_cells(["regularizer=sigreg,none,sigreg"], tmp_path)


def test_a_key_that_only_some_choices_have_is_refused_with_the_choice(tmp_path):
    with pytest.raises(InputError, match="regularizer=none"):
        make_cells(["regularizer=sigreg,none", "regularizer.num_directions=16"], tmp_path)


def test_a_folder_with_other_settings_is_refused_and_one_for_another_machine_is_not(cells, tmp_path):
    cell = cells[0]
    write_cell(cell, [True])
    cell.check_settings()
    elsewhere = make_cells(["seed=0", "num_threads=3", "device=cpu"], tmp_path)[0]
    replace(elsewhere, folder=cell.folder).check_settings()
    other = make_cells(["seed=0,1", "regularizer=sigreg", "evaluation.num_pairs=7"], tmp_path)[0]
    moved = replace(other, folder=cell.folder)
    with pytest.raises(InputError, match=r"begun with evaluation.num_pairs=200, not 7"):
        moved.check_settings()


def test_a_cells_state_is_read_from_its_folder(cells):
    cell = cells[0]
    assert cell.state == "absent"
    cell.folder.mkdir()
    (cell.folder / "config.yaml").touch()
    assert cell.state == "started"
    (cell.folder / "failed.txt").write_text("no memory\n")
    assert (cell.state, cell.error) == ("failed", "no memory")
    (cell.folder / "results.json").touch()
    assert (cell.state, cell.error) == ("done", "")


def test_the_steps_of_a_running_cell_are_those_of_its_last_whole_line(cells):
    cell = cells[0]
    assert cell.steps == 0
    cell.folder.mkdir()
    lines = [f'{{"step": {step}, "loss/total": {"1" * 3000}}}\n' for step in range(6)]
    (cell.folder / "metrics.jsonl").write_text("".join(lines) + '{"step": 6, "loss')
    assert cell.steps == 6


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("$ first\nerror: old\n\n$ second\nerror: new\nTraceback\nCalledProcessError: status 1\n", "new"),
        (
            "$ a\nTraceback\ntorch.OutOfMemoryError: no memory\nTraceback\nsubprocess.CalledProcessError: 1\n",
            "torch.Out",
        ),
        ("$ a\nwarming up\n", "ended with status 9"),
    ],
)
def test_the_error_of_a_cell_is_the_line_that_says_most(log, expected):
    assert last_error(log, 9).startswith(expected)


# Table.


def test_the_csv_has_a_row_for_each_cell_and_the_numbers_of_each(cells, tmp_path):
    fill(cells[:4], {"sigreg": 0.5, "none": 0.25}, {"probe/r2_x": [0.9] * 4, "gaussianity/w2": [0.1, 0.2, 0.3, 0.4]})
    (cells[4].folder).mkdir()
    (cells[4].folder / "failed.txt").write_text("the loss is nan\n")
    save_csv(Table(cells), tmp_path / "cells.csv")
    rows = list(csv.DictReader((tmp_path / "cells.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done"] * 4 + ["failed", "absent"]
    assert [row["gaussianity/w2"] for row in rows] == ["0.1", "0.2", "0.3", "0.4", "", ""]
    assert rows[0]["strict_successes"] == "50" and rows[0]["strict_trials"] == "100"
    assert rows[3]["strict_success"] == "0.25" and rows[3]["regularizer.weight"] == "0.0"
    assert rows[4]["error"] == "the loss is nan"


def test_seconds_per_step_come_from_the_speed_and_the_size_of_a_batch(cells):
    write_cell(cells[0], [True], frames_per_second=256.0)
    training = cells[0].config.training
    assert Table(cells).rows[0]["seconds_per_step"] == training.batch_size * training.num_frames / 256


def test_success_is_pooled_over_the_seeds_of_a_column_and_a_pair_of_three_seeds_is_one_cluster(cells):
    fill(cells, {"sigreg": 0.5, "none": 0.25}, {})
    pooled = Table(cells).pooled_success("none")
    assert (pooled.successes, pooled.trials, pooled.num_clusters) == (75, 300, 100)
    assert pooled.effective_trials == pytest.approx(100, rel=0.05)  # all seeds solve the same pairs


def test_pairs_are_compared_seed_by_seed_without_those_solved_at_the_start(cells):
    for cell in cells[:3]:
        write_cell(cell, [True, True, False, False])
    for cell in cells[3:5]:
        write_cell(cell, [True, False, False, True])
    write_cell(cells[5], [True], first_pair=50)
    comparison = Table(cells).comparisons[0]
    assert (comparison.num_attempts, comparison.num_episodes) == (8, 4)
    assert (comparison.better, comparison.worse) == (2, 2)
    assert comparison.p_episodes == 1.0


def test_other_pairs_are_not_compared(cells):
    for cell in cells:
        write_cell(cell, [True, False], first_pair=10 * (cell.column == "none"))
    comparison = Table(cells).comparisons[0]
    assert comparison.num_attempts == 0
    assert math.isnan(comparison.p_episodes)
    assert "on other start/goal pairs" in findings(Table(cells))[0]


# What is said.


def test_a_difference_beyond_seed_noise_is_said_and_a_smaller_one_is_not(cells):
    rank, distance = [3.0, 3.1, 2.9, 9.0, 9.1, 8.9], [1.0, 2.0, 3.0, 1.5, 2.5, 3.5]
    rates = {"sigreg": [0.9, 0.88, 0.92], "none": [0.4, 0.43, 0.37]}
    fill(cells, rates, {"val/effective_rank": rank, "gaussianity/w2": distance})
    said = findings(Table(cells))[0]
    assert "strict success 40.0% against 90.0% of sigreg" in said and "differs beyond seed noise" in said
    assert "effective rank (3 → 9)" in said
    assert "w2" not in said


def test_success_that_differs_between_seeds_still_has_to_differ_over_the_episodes(cells):
    fill(cells, {"sigreg": 1.0, "none": [0.99, 0.98, 0.99]}, {})
    comparison = Table(cells).comparisons[0]
    assert comparison.metrics["strict_success"].p < 0.06 < comparison.p_episodes
    assert not comparison.differs("strict_success")


def test_seeds_that_agree_exactly_are_said_to_measure_no_noise_instead_of_a_difference(cells, tmp_path):
    fill(cells, {"sigreg": 1.0, "none": 0.2}, {})
    table = Table(cells)
    assert math.isnan(table.comparisons[0].metrics["strict_success"].p)
    assert not table.comparisons[0].differs("strict_success")
    assert "(by episodes p < 0.001): no seed noise measured" in findings(table)[0]
    save_report(table, tmp_path, "")
    assert "-80.0<small>no seed noise measured</small>" in (tmp_path / "index.html").read_text()


def test_one_seed_says_nothing_of_seed_noise(cells):
    fill([cells[0], cells[3]], {"sigreg": 1.0, "none": 0.2}, {})
    said = findings(Table([cells[0], cells[3]]))
    assert said[0] == "none: strict success 20.0% against 100.0% of sigreg (by episodes p < 0.001)."
    assert said[1].startswith("One seed only: sigreg, none.")


def test_a_column_without_finished_cells_is_said_to_have_none(cells):
    fill(cells[:3], {"sigreg": 1.0}, {})
    assert findings(Table(cells))[0] == "none: no finished cell, nothing to compare."


def test_verdicts_on_success_find_five_percent_of_nothing_where_runs_differ_in_skill(swept):
    """Runs of equal columns differ in skill, pairs in difficulty: what neither test alone is right about."""
    rng = np.random.default_rng(0)
    by_episodes, verdicts = [], []
    for _ in range(400):
        difficulty, skill = rng.normal(size=60), rng.normal(size=len(swept))
        runs = [difficulty + rng.normal(size=60) < each for each in skill]
        table = Table([finished(cell, reached) for cell, reached in zip(swept, runs, strict=True)])
        by_episodes.append(table.comparisons[0].p_episodes < 0.05)
        verdicts.append(table.comparisons[0].differs("strict_success"))
    assert np.mean(by_episodes) > 0.3
    assert np.mean(verdicts) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def finished(cell, reached):
    given = {field.name: getattr(cell, field.name) for field in fields(cell)}
    return FinishedCell(**given, results=make_results(reached, {}))


# The page.


def test_the_page_stands_alone(cells, tmp_path):
    fill(cells, {"sigreg": 1.0, "none": 0.0}, {"val/effective_rank": [3.0, 3.1, 2.9, 9.0, 9.1, 8.9]})
    save_report(Table(cells), tmp_path, "scripts/ablate.py seed=0,1 name='<b>'")
    text = (tmp_path / "index.html").read_text()
    assert not re.findall(r"(?:src|href)=.(?:https?:|//|/)", text)
    assert text.count("data:image/png;base64,") == 2
    assert "Success is that on pairs of the validation split: the winner's final number" in text
    assert "seed=0,1 name=&#x27;&lt;b&gt;&#x27;" in text


def test_the_page_links_to_cells_and_shows_the_error_of_a_failed_one(cells, tmp_path):
    fill(cells[:5], {"sigreg": 0.9, "none": 0.4}, {})
    cells[5].folder.mkdir()
    (cells[5].folder / "failed.txt").write_text("the loss is <nan>\n")
    save_report(Table(cells), tmp_path, "")
    text = (tmp_path / "index.html").read_text()
    assert '<a href="none_seed0/results.json">' in text
    assert text.count("the loss is &lt;nan&gt;") == 2


def test_the_page_shows_each_columns_weight(cells, tmp_path):
    fill(cells, {"sigreg": 0.9, "none": 0.4}, {})
    save_report(Table(cells), tmp_path, "")
    assert '<tr><th scope="row">regularizer.weight</th><td>1.0</td><td>0.0</td></tr>' in page(
        Table(cells), tmp_path, ""
    )


def test_a_cell_is_shown_with_the_weight_it_was_begun_with(cells):
    begun = replace(cells[0], config=replace(cells[0].config, regularizer={"name": "sigreg", "weight": 7.0}))
    write_cell(begun, [True])
    assert Table(cells).rows[0]["regularizer.weight"] == 7.0
