"""The page of an evaluation: well-formed, complete, true to results.json, and in need of nothing else."""

import base64
import json
import re
from html.parser import HTMLParser

import imageio.v3 as iio
import numpy as np
import pytest

from lewm.errors import InputError
from lewm.report.media import FPS
from lewm.report.page import save_page
from tests.evaluation.finished import BUDGET, NUM_ITERATIONS, SIZE, film_bytes, make_traces, write_evaluation

REACHED = (True, False, True, True, False, True)
SOLVED = (False, False, False, True, False, False)
NONE = "\N{EN DASH}"
VOID = ("meta", "link", "img", "input")


class Page(HTMLParser):
    """A page taken apart.

    Attributes:
      tags: every element's name and attributes.
      rows: the cells of every table row, as text.
      text: all of it.
    """

    def __init__(self, source):
        super().__init__()
        self.tags, self.rows, self.text, self._open = [], [], "", []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "tr" in self._open and self.rows[-1]:
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def titles(self):
        """What the sections and charts are called."""
        return re.findall(
            r"Success against the baselines|Distance over time|Distance as the model sees it|Cost per planner"
            r" iteration|Time per plan(?=\s)|Episodes, failures first|Imagined beside real",
            self.text,
        )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with everything, and its results."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, write_evaluation(folder, REACHED, SOLVED, num_films=3)


@pytest.fixture(scope="module")
def source(finished):
    return save_page(finished[0]).read_text()


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def without(tmp_path, *names):
    """The page of a folder that lacks some files."""
    write_evaluation(tmp_path, REACHED, SOLVED, num_films=1)
    for name in names:
        path = tmp_path / name
        for file in path.iterdir() if path.is_dir() else [path]:
            file.unlink()
    return Page(save_page(tmp_path).read_text())


def change(folder, **changes):
    """Other results in a folder."""
    path = folder / "results.json"
    results = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in results.items() if value is not ...}))


def test_the_page_asks_for_nothing_outside_itself(source, page):
    assert not re.search(r"(https?:)?//\w", re.sub(r"base64,[\w+/=]+", "", source))
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "data:").startswith("data:")


def test_every_pair_is_listed_once_and_failures_come_first(finished, page):
    listed = [row for row in page.rows if len(row) == 7 and row[0].isdigit()]
    assert [int(row[0]) for row in listed] == [1, 4, 0, 2, 5, 3]
    assert [row[1] for row in listed] == ["failed"] * 2 + ["reached"] * 3 + ["solved at the start"]
    for row in listed:
        pair = finished[1]["pairs"][int(row[0])]
        assert row[2] == ("yes" if pair["at_end"] else "no")
        assert row[3] == (NONE if pair["first_success"] is None else str(pair["first_success"]))
        assert float(row[4]) == pytest.approx(pair["final_distance"], rel=5e-3)
        assert row[5:] == [str(pair["episode"]), str(pair["step"])]


def test_the_table_has_the_rates_counts_and_intervals_of_the_results(finished, page):
    _, results = finished
    rows = {row[0]: row[1:] for row in page.rows}
    names = {"model": "model", "random": "random actions", "no_op": "no action", "replay": "recorded actions"}
    for name, rates in {"model": results["model"], **results["baselines"]}.items():
        for cell, tag in zip(rows[names[name]], ("success", "strict_success", "strict_success_at_end"), strict=True):
            rate = rates[tag]
            interval = f"{100 * rate['low']:.1f} to {rate['high']:.1%}"
            assert cell == f"{rate['rate']:.1%} ({rate['successes']}/{rate['trials']}){interval}"


def test_what_all_policies_have_beside_rates_is_in_the_table_too(tmp_path):
    results = write_evaluation(tmp_path, REACHED, SOLVED)
    change(tmp_path, model=results["model"] | {"final_distance": 0.4567891})
    page = Page(save_page(tmp_path).read_text())
    rows = {row[0]: row for row in page.rows}
    assert rows["policy"][-1] == "final distance"
    assert "clusters). Final distance: median, as the environment measures it; 1 is the edge of success." in page.text
    assert (rows["model"][-1], rows["no action"][-1]) == ("0.457", NONE)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # imageio's, while it reads
def test_films_are_those_of_the_folder_failures_first_and_can_be_decoded(finished, page):
    shown = [video["src"].removeprefix("data:video/mp4;base64,") for video in page.all("video")]
    names = ["pair_001_failed.mp4", "pair_000_reached.mp4", "pair_002_reached.mp4"]
    for content, name in zip(shown, names, strict=True):
        assert base64.b64decode(content) == (finished[0] / "videos" / name).read_bytes()
        film = iio.imread(base64.b64decode(content), extension=".mp4", plugin="FFMPEG")
        assert film.shape[0] == BUDGET + 1
        assert film.shape[1] % 2 == film.shape[2] % 2 == 0
        assert film.shape[2] > 3 * film.shape[1] >= 3 * SIZE
    assert f"const FPS = {FPS};" in page.text


def test_films_of_an_earlier_evaluation_are_not_shown(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED, num_films=3)
    for name in ("pair_001_reached.mp4", "pair_006_failed.mp4", "pair_x_failed.mp4"):
        (tmp_path / "videos" / name).write_bytes(film_bytes())
    videos = Page(save_page(tmp_path).read_text()).all("video")
    assert [video["aria-label"].split(":")[0] for video in videos] == [
        "Pair 1, failed",
        "Pair 0, reached",
        "Pair 2, reached",
    ]


def test_a_page_has_no_more_films_than_it_has_room_for(tmp_path, monkeypatch):
    write_evaluation(tmp_path, REACHED, SOLVED, num_films=3)
    monkeypatch.setattr("lewm.report.pictures.MAX_BYTES", 2 * 3 * len(film_bytes()))
    page = Page(save_page(tmp_path).read_text())
    assert 1 <= len(page.all("video")) < 3
    assert f"{3 - len(page.all('video'))} more are in videos/" in page.text


def test_imagined_frames_stand_below_the_real_ones_of_the_same_pair(page):
    assert re.findall(r"pair (\d+)step123realimagined", re.sub(r"\s", " ", page.text)) == ["2", "0"]
    images = [image["alt"] for image in page.all("img")]
    assert images == [f"{kind}, model step {i}" for _ in range(2) for kind in ("real", "imagined") for i in (1, 2, 3)]


def test_with_everything_there_is_every_part(page):
    assert page.titles() == [
        "Success against the baselines",
        "Distance over time",
        "Distance as the model sees it",
        "Cost per planner iteration",
        "Time per plan",
        "Episodes, failures first",
        "Imagined beside real",
    ]
    assert len(page.all("svg")) == 5


@pytest.mark.parametrize(
    ("missing", "titles"),
    [
        ("traces.npz", ["Success against the baselines", "Episodes, failures first"]),
        ("videos", ["Success against the baselines", "Distance over time", "Distance as the model sees it"]),
    ],
)
def test_what_is_missing_is_left_out(tmp_path, missing, titles):
    found = without(tmp_path, missing).titles()
    assert found[: len(titles)] == titles
    assert ("Episodes, failures first" in found) == (missing != "videos")
    assert ("Imagined beside real" in found) == (missing != "traces.npz")


def test_a_baseline_without_plans_has_its_name_and_no_charts_of_planning(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED, num_films=1, policy={"name": "behaviour_cloning", "seed": 0})
    change(tmp_path, planning=None, diagnostics={})
    with np.load(tmp_path / "traces.npz") as arrays:
        kept = {"distances": arrays["distances"], "best_costs": np.zeros((6, 0, NUM_ITERATIONS))}
    np.savez(tmp_path / "traces.npz", **kept, z_distance=np.zeros((6, 0)), observed_steps=np.zeros(0))
    page = Page(save_page(tmp_path).read_text())
    assert page.titles() == ["Success against the baselines", "Distance over time", "Episodes, failures first"]
    assert "behaviour cloning" in [row[0] for row in page.rows]


def test_recordings_without_an_environment_have_a_page_of_measures_only(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED)
    change(
        tmp_path,
        **dict.fromkeys(("model", "baselines", "pairs", "protocol", "source", "planning", "already_solved"), ...),
    )
    page = Page(save_page(tmp_path).read_text())
    assert page.all("svg") == []
    assert ["probe/r2_agent_x", "0.9877"] in page.rows


@pytest.mark.parametrize("reached", [(True,) * 3, (False,) * 3])
def test_all_or_none_reached_make_a_page(tmp_path, reached):
    write_evaluation(tmp_path, reached, (False,) * 3)
    assert len(Page(save_page(tmp_path).read_text()).all("svg")) == 5


def test_all_solved_at_the_start_make_a_page_without_a_strict_rate(tmp_path):
    write_evaluation(tmp_path, (True,) * 3, (True,) * 3)
    assert json.loads((tmp_path / "results.json").read_text())["model"]["strict_success"]["rate"] is None
    rows = {row[0]: row for row in Page(save_page(tmp_path).read_text()).rows}
    assert rows["model"][1:3] == ["100.0% (3/3)43.9 to 100.0%", f"{NONE} (0/0){NONE}"]


def test_costs_that_are_not_finite_and_constant_ones_can_be_drawn(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED)
    costs = np.full((6, 2, NUM_ITERATIONS), 3.0)
    costs[0, 0, 0], costs[1] = np.inf, np.nan
    np.savez(tmp_path / "traces.npz", best_costs=costs, plan_milliseconds=np.full(4, 2.0))
    page = Page(save_page(tmp_path).read_text())
    assert page.titles()[1:3] == ["Cost per planner iteration", "Time per plan"]
    for _, attributes in page.tags:
        assert "nan" not in attributes.get("d", "").lower() + attributes.get("x", "")


def test_the_page_says_which_split_the_pairs_are_of(page):
    assert "Test split: episodes made up for <b>tests</b>." in page.text


def test_the_command_can_be_typed_again_and_the_configuration_is_shown(page):
    assert "python train.py env=two_room 'planning={name: <b>}'" in page.text
    assert "name: <script>alert(1)</script>" in page.text


def test_text_of_a_configuration_is_no_markup(tmp_path):
    bad = '"><script>alert(1)</script>'
    results = write_evaluation(tmp_path, REACHED, SOLVED, run=bad, policy={"name": bad, "note": bad}, device=bad)
    change(tmp_path, baselines={bad: results["baselines"]["random"]}, diagnostics={bad: 1.0})
    page = Page(save_page(tmp_path).read_text())
    assert len(page.all("script")) == 1
    assert page.text.count(bad) >= 6


def test_every_picture_says_what_it_shows_and_every_table_names_its_columns(page):
    for tag, attribute in (("svg", "aria-label"), ("img", "alt"), ("video", "aria-label"), ("input", "aria-label")):
        assert page.all(tag)
        assert all(each[attribute] for each in page.all(tag))
    assert len(page.all("thead")) == len(page.all("table"))
    assert all(header["scope"] in ("col", "row") for header in page.all("th"))


@pytest.mark.parametrize("content", [None, "{", "", "[]", "3", '{"model": {}}', '{"identity": {}, "pairs": []}'])
def test_a_folder_without_results_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        save_page(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_damaged_traces_are_refused(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED)
    (tmp_path / "traces.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"traces\.npz is damaged"):
        save_page(tmp_path)


def test_traces_of_other_pairs_are_not_shown(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED)
    np.savez(tmp_path / "traces.npz", **make_traces([True] * 3))
    assert Page(save_page(tmp_path).read_text()).titles() == ["Success against the baselines"]


def test_a_run_has_its_learning_curves(tmp_path):
    write_evaluation(tmp_path, REACHED, SOLVED)
    titles = re.findall("<h[23]>(.*?)</h[23]>", save_page(tmp_path).read_text())
    assert "Training" not in titles
    lines = [
        {"step": 9, "train/prediction_over_copy_last": 0.5, "loss/regularizer": 0.3, "train/grad_norm": 2.0},
        {"step": 19, "train/prediction_over_copy_last": 0.25, "loss/regularizer": 0.2, "train/grad_norm": None},
        {"step": 19, "val/prediction_over_copy_last": 0.75, **{f"probe/r2_{i}": i / 8 for i in range(6)}},
    ]
    metrics = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(metrics + '{"step": 29, "train/pred')  # of a run that was killed
    page = Page(save_page(tmp_path).read_text())
    new = [
        title
        for title in re.findall("<h[23]>(.*?)</h[23]>", (tmp_path / "report.html").read_text())
        if title not in titles
    ]
    assert new == ["Training", "Prediction", "Regularizer", "Gradient", "Best linear probes"]
    said = [chart["aria-label"] for chart in page.all("svg")]
    assert "Prediction, error over copying the last frame: training to 0.25; held out to 0.75." in said
    assert "Best linear probes, R2: 5 to 0.625; 4 to 0.5; 3 to 0.375; 2 to 0.25." in said
    (tmp_path / "metrics.jsonl").write_text("{\n" + metrics)
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged"):
        save_page(tmp_path)
