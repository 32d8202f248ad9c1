"""Environments as evaluation and collection make them."""

from dataclasses import replace

import gymnasium as gym
import pytest

from lewm.environment import make_env, make_vector_env
from lewm.errors import InputError
from tests.registries import ENVS


@pytest.mark.parametrize("name", ["two_room", "push_t"])
def test_an_environment_is_made_without_the_wrappers_that_could_end_an_episode_unseen(name):
    assert gym.spec(ENVS[name].id.removeprefix("envs:")).max_episode_steps
    env = make_env(ENVS[name])
    assert env is env.unwrapped


def with_kwargs(**kwargs):
    return replace(ENVS["two_room"], kwargs=kwargs)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(ENVS["two_room"], frame_size=3), r"env\.frame_size=3 .*48 to 512"),
        (replace(ENVS["two_room"], id="envs:lewm/TwoRom-v0"), "TwoRom.*Did you mean"),
        (replace(ENVS["two_room"], id="nowhere.at_all:Some-v0"), "no Python module 'nowhere.at_all'"),
        (with_kwargs(fraem_size=48), "no argument 'fraem_size'; did you mean 'frame_size'"),
        (replace(ENVS["push_t"], kwargs={"block": ["T"]}), r"block=\['T'\] must be str"),
        (replace(ENVS["push_t"], kwargs={"block": "S"}), "no block 'S'; there are T, L"),
        (replace(ENVS["pendulum"], kwargs={"env_id": "Pendulum-v1"}), "the argument 'tolerances' is missing"),
    ],
)
def test_an_environment_that_cannot_be_made_is_one_line_with_the_reason(config, words):
    with pytest.raises(InputError, match=f"^cannot make .*{words}") as error:
        make_env(config)
    assert "\n" not in str(error.value)


def test_many_environments_at_once_refuse_an_argument_that_their_vector_form_lacks():
    with pytest.raises(InputError, match="no argument 'taste'"):
        make_vector_env(with_kwargs(taste=1), num_envs=2)


@pytest.mark.parametrize("mistake", [TypeError, ValueError, KeyError])
def test_a_mistake_in_an_environment_keeps_its_traceback(monkeypatch, mistake):
    def broken(frame_size: int) -> None:
        raise mistake("a bug")

    monkeypatch.setitem(gym.registry, "Broken-v0", gym.envs.registration.EnvSpec("Broken-v0", entry_point=broken))
    with pytest.raises(mistake, match="a bug") as raised:
        make_env(replace(ENVS["two_room"], id="Broken-v0"))
    assert type(raised.value) is mistake
