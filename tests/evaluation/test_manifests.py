"""Where the pairs of an evaluation are from."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.evaluation import manifests
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import MANIFESTS, choose_manifest, committed, draw
from lewm.evaluation.pairs import read_pairs
from tests.conftest import short_evaluation, two_room_config
from tests.registries import ENV_CONFIGS

ENV = two_room_config(num_episodes=12, max_steps=40, seed=0)
HELD_OUT = np.arange(0, 12, 2)
CONFIG = short_evaluation(num_pairs=5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stands for manifests/."""
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path)
    (tmp_path / "two_room").mkdir()
    return tmp_path / "two_room"


def choose(data, held_out=HELD_OUT, split="test", **changes):
    said = []
    episodes = EvaluationEpisodes(data, held_out, split, "made up")
    return choose_manifest(episodes, ENV, replace(CONFIG, **changes), said.append), said


def test_without_a_committed_manifest_pairs_are_drawn(two_room_data, folder):
    manifest, said = choose(two_room_data)
    assert manifest == Manifest.draw(two_room_data, HELD_OUT, 10, 5, seed=0)
    assert said == []


@pytest.mark.parametrize("strict", [False, True])
def test_a_committed_manifest_of_the_same_data_gives_its_first_pairs(two_room_data, folder, strict):
    drawn = draw(two_room_data, HELD_OUT[::-1], ENV, 10, 20, 0, strict)
    drawn.save(folder / f"offset_10{'_strict' if strict else ''}.json")
    manifest, said = choose(two_room_data, strict=strict)
    assert manifest == drawn.first(5)
    assert said == []


@pytest.mark.parametrize("changes", [{"manifest_seed": 1}, {"offset": 9}, {"strict": True}])
def test_what_the_committed_manifest_does_not_have_is_drawn(two_room_data, folder, changes):
    draw(two_room_data, HELD_OUT, ENV, 10, 20, 0, strict=False).save(folder / "offset_10.json")
    manifest, _ = choose(two_room_data, **changes)
    wanted = asdict(CONFIG) | changes
    keys = "offset", "num_pairs", "manifest_seed", "strict"
    assert manifest == draw(two_room_data, HELD_OUT, ENV, *(wanted[key] for key in keys))


def test_a_committed_manifest_with_fewer_pairs_is_tried_whole_and_one_is_told(two_room_data, folder):
    drawn = draw(two_room_data, HELD_OUT, ENV, 10, 20, 0, strict=False)
    drawn.save(folder / "offset_10.json")
    manifest, (said,) = choose(two_room_data, num_pairs=21)
    assert manifest == drawn and manifest.file == folder / "offset_10.json"
    assert said == f"{folder / 'offset_10.json'} has 20 pairs of evaluation.num_pairs=21: all are tried"


def test_a_committed_manifest_of_other_data_is_replaced_by_the_same_rule_and_one_is_told(two_room_data, folder):
    other = replace(draw(two_room_data, HELD_OUT, ENV, 10, 20, 0, strict=False), dataset_hash="abc")
    other.save(folder / "offset_10.json")
    manifest, (said,) = choose(two_room_data)
    assert manifest == Manifest.draw(two_room_data, HELD_OUT, 10, 5, seed=0)
    assert "offset_10.json" in said and str(two_room_data.path) in said and "drawn anew" in said


def test_a_committed_manifest_of_episodes_that_were_trained_on_is_replaced_and_one_is_told(two_room_data, folder):
    draw(two_room_data, np.arange(12), ENV, 10, 20, 0, strict=False).save(folder / "offset_10.json")
    manifest, (said,) = choose(two_room_data)
    assert set(manifest.episodes) <= set(HELD_OUT.tolist())
    assert "of other episodes" in said


def test_a_committed_manifest_is_of_the_test_split_alone(two_room_data, folder):
    draw(two_room_data, HELD_OUT, ENV, 10, 20, 0, strict=False).save(folder / "offset_10.json")
    assert choose(two_room_data)[0].file is not None
    manifest, said = choose(two_room_data, split="validation")
    assert manifest.file is None and said == []


def test_a_given_manifest_is_used(two_room_data, folder, tmp_path):
    given = draw(two_room_data, HELD_OUT, ENV, 7, 4, 3, strict=True)
    given.save(tmp_path / "given.json")
    assert choose(two_room_data, manifest=str(tmp_path / "given.json"))[0] == given


def test_what_a_given_manifest_decides_is_told_in_one_line(two_room_data, tmp_path):
    path = tmp_path / "given.json"
    draw(two_room_data, HELD_OUT, ENV, 7, 6, 3, strict=True).save(path)
    _, (said,) = choose(two_room_data, manifest=str(path))
    assert said.startswith(f"evaluation.manifest={path} decides: ")
    for words in ("offset=7", "strict=true", "manifest_seed=3", "5 of its 6 pairs"):
        assert words in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("episode", "step"),
    [(0, lambda length: length - 6), (12, 0)],
    ids=["goal_after_the_end", "no_such_episode"],
)
def test_a_given_manifest_of_pairs_that_the_data_have_not_is_refused_in_one_line(
    two_room_data, tmp_path, episode, step
):
    path, given = tmp_path / "given.json", draw(two_room_data, HELD_OUT, ENV, 7, 4, 3, strict=False)
    step = step(int(two_room_data.lengths[episode])) if callable(step) else step
    replace(given, episodes=[*given.episodes, episode], steps=[*given.steps, step]).save(path)
    words = f"evaluation.manifest={path} has a pair from step {step} of episode {episode} to 7 steps later"
    with pytest.raises(InputError, match=re.escape(words)) as error:
        choose(two_room_data, manifest=str(path))
    assert "\n" not in str(error.value)


def test_a_given_manifest_may_have_the_last_goal_that_there_is(two_room_data, tmp_path):
    path, given = tmp_path / "given.json", draw(two_room_data, HELD_OUT, ENV, 7, 4, 3, strict=False)
    last = replace(given, episodes=[0], steps=[int(two_room_data.lengths[0]) - 7])
    last.save(path)
    assert choose(two_room_data, manifest=str(path))[0] == last


@pytest.mark.parametrize("num_numbers", [0, 3])
@pytest.mark.parametrize("strict", [False, True])
def test_data_whose_states_the_environment_does_not_know_are_refused_in_one_line(
    two_room_data, tmp_path, num_numbers, strict
):
    path = tmp_path / "data"
    with EpisodeWriter(
        path, replace(two_room_data.metadata, state_names=[f"number_{i}" for i in range(num_numbers)])
    ) as writer:
        pixels, actions = two_room_data.pixels[:21], two_room_data.actions[:20]
        writer.append(pixels, np.zeros((21, num_numbers)), actions)
    words = f"the states of {path} have {num_numbers} numbers.*TwoRoom.*env=recorded"
    with pytest.raises(InputError, match=words) as error:
        choose(Episodes(path), np.array([0]), strict=strict)
    assert "\n" not in str(error.value)


def test_a_given_manifest_of_other_data_is_refused_in_one_line(two_room_data, tmp_path):
    path = tmp_path / "given.json"
    replace(draw(two_room_data, HELD_OUT, ENV, 7, 4, 3, strict=False), dataset_hash="abc").save(path)
    with pytest.raises(InputError, match=f"evaluation.manifest={path} is of other data than") as error:
        choose(two_room_data, manifest=str(path))
    assert "\n" not in str(error.value)


def test_a_given_manifest_of_another_environment_is_refused_in_one_line(two_room_data, tmp_path):
    path = tmp_path / "given.json"
    replace(draw(two_room_data, HELD_OUT, ENV, 7, 4, 3, strict=False), env_id="envs:lewm/PushT-v0").save(path)
    with pytest.raises(InputError, match=f"evaluation.manifest={path} is of envs:lewm/PushT-v0, not of") as error:
        choose(two_room_data, manifest=str(path))
    assert "\n" not in str(error.value)


def test_a_given_manifest_of_episodes_that_were_trained_on_is_refused(two_room_data, tmp_path):
    path = tmp_path / "given.json"
    draw(two_room_data, np.arange(12), ENV, 7, 20, 3, strict=False).save(path)
    with pytest.raises(InputError, match=r"not of evaluation\.split=test"):
        choose(two_room_data, manifest=str(path))


def test_no_pair_of_a_strict_manifest_is_solved_at_the_start(two_room_data):
    strict, any_pairs = (
        read_pairs(draw(two_room_data, HELD_OUT, ENV, 5, 25, 0, strict=strict), two_room_data)
        for strict in (True, False)
    )
    pool = EnvPool(ENV)
    solved = [pool.judge(pairs.start_states[:, None], pairs.goal_states)[0].mean() for pairs in (strict, any_pairs)]
    assert solved[0] == 0 < solved[1]


COMMITTED = sorted(MANIFESTS.glob("*/*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=[f"{path.parent.name}-{path.stem}" for path in COMMITTED])
def test_a_committed_manifest_has_pairs_of_the_episodes_that_are_collected_for_evaluation(path):
    manifest, env = Manifest.load(path), ENV_CONFIGS[path.parent.name]
    assert committed(path.parent.name, manifest.offset, manifest.strict) == path
    assert (manifest.env_id, manifest.seed) == (env.id, 0)
    pairs = list(zip(manifest.episodes, manifest.steps, strict=True))
    assert len(set(pairs)) == len(pairs) <= 200
    assert max(manifest.episodes) < env.collection.num_test_episodes
    assert max(manifest.steps) + manifest.offset <= env.collection.max_steps
    assert path.read_text() == json.dumps(json.loads(path.read_text())) + "\n"
