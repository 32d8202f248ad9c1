"""scripts/collect.py as it is typed."""

import pytest

from lewm.data.episodes import Episodes
from scripts import collect
from tests.folders import contents
from tests.programs import assert_one_line_error, run_program

SMALL = ("env.frame_size=48", "env.collection.max_steps=4")


def run(path, *arguments):
    return run_program(collect.main, *SMALL, f"data_path={path}", *arguments)


def test_num_episodes_replaces_the_number_of_the_environment(tmp_path):
    assert run(tmp_path / "short", "num_episodes=3") is None
    assert run(tmp_path / "long", "env.collection.num_episodes=3") is None
    assert len(Episodes(tmp_path / "short")) == 3
    assert contents(tmp_path / "short") == contents(tmp_path / "long")


def test_num_workers_may_be_given(tmp_path):
    assert run(tmp_path / "one", "num_episodes=70", "num_workers=1") is None
    assert run(tmp_path / "two", "num_episodes=70", "num_workers=2") is None
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_mixture_of_experts_is_a_configuration(tmp_path):
    parts = "[{weight: 0.5, expert: {name: two_room, noise_std: 0.0}}, {weight: 0.5, expert: {name: two_room}}]"
    assert run(tmp_path / "data", "num_episodes=3", f"env.collection.expert={{name: mixture, parts: {parts}}}") is None
    assert "noise_std" in Episodes(tmp_path / "data").metadata.collection["policy"]


@pytest.mark.parametrize("override", ["num_episodes=1", "num_episodes=many", "num_workers=0", "num_episode=3"])
def test_a_value_that_cannot_be_is_refused_in_one_line(tmp_path, override):
    assert_one_line_error(run(tmp_path / "data", override), override.split("=")[0])
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_with_another_seed_is_refused_in_one_line_and_kept(tmp_path):
    path = tmp_path / "data"
    assert run(path, "num_episodes=3") is None
    path.rename(tmp_path / "data.partial")
    metadata = tmp_path / "data.partial" / "metadata.json"
    metadata.write_text(metadata.read_text().replace(f'"{Episodes(metadata.parent).content_hash}"', "null"))
    before = contents(tmp_path)
    code = run(path, "num_episodes=3", "env.collection.seed=1")
    assert_one_line_error(code, "collection.seed=0, not 1", f"{path}.partial", "remove")
    assert contents(tmp_path) == before
