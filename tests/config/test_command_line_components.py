"""Components given whole on the command line replace the ones in configs/; single keys change them."""

import json
from dataclasses import asdict, dataclass

import pytest
from omegaconf import OmegaConf

import train
from lewm.config import Component, PlanConfig, TrainConfig, check_resumed, from_dict, save
from lewm.config.command_line import check_overrides, expand_components
from lewm.errors import InputError
from lewm.training.checkpoint import Checkpoint, latest_checkpoint
from tests.programs import TINY, assert_one_line_error, compose, run_program

FLOW = "affine_coupling"
ATTENTION = "euclidean_attention"


def expanded(*words):
    return expand_components(TrainConfig, list(words))


@pytest.mark.parametrize(
    ("words", "flow"),
    [
        ([], None),
        (["model.flow=null"], None),
        (["model.flow=affine_coupling"], {"name": FLOW}),
        (["model.flow='affine_coupling'"], {"name": FLOW}),
        (["+model.flow=affine_coupling"], {"name": FLOW}),
        (["++model.flow=affine_coupling"], {"name": FLOW}),
        (["model.flow={name: affine_coupling, num_layers: 6}"], {"name": FLOW, "num_layers": 6}),
        (["model.flow=affine_coupling", "model.flow.num_layers=6"], {"name": FLOW, "num_layers": 6}),
        (["model.flow={name: affine_coupling, seed: 6}", "model.flow.seed=7"], {"name": FLOW, "seed": 7}),
        (["model.flow={name: affine_coupling, seed: 6}", "model.flow=affine_coupling"], {"name": FLOW}),
        (["model.flow=affine_coupling", "model.flow=null"], None),
        (["model=paper", "model.flow=affine_coupling"], {"name": FLOW}),
        (["model.flow=affine_coupling", "model=paper"], {"name": FLOW}),
    ],
)
def test_a_flow_is_given_by_its_name_or_whole_and_then_changed(words, flow):
    assert compose(*words).model.flow == flow


@pytest.mark.parametrize(
    ("words", "projector"),
    [
        (["model.projector=euclidean_attention"], {"name": ATTENTION}),
        (["model.projector={name: euclidean_attention, num_heads: 8}"], {"name": ATTENTION, "num_heads": 8}),
        (["model.projector.hidden_dim=9", "model.projector=euclidean_attention"], {"name": ATTENTION}),
        (["model.projector=euclidean_attention", "model.projector.num_heads=3"], {"name": ATTENTION, "num_heads": 3}),
        (["model.projector={name: mlp, hidden_dim: 7}"], {"name": "mlp", "hidden_dim": 7}),
        (["model.projector={hidden_dim: 7}"], {"name": "mlp", "hidden_dim": 7}),
        (["model.projector.hidden_dim=7"], {"name": "mlp", "hidden_dim": 7}),
    ],
)
def test_a_component_given_whole_leaves_nothing_of_the_one_before_it(words, projector):
    assert compose(*words).model.projector == projector


def test_a_component_deep_in_the_configuration_is_replaced_too():
    expert = compose("env.collection.expert=another").env.collection.expert
    assert expert == {"name": "another"}


def test_other_keys_can_refer_to_a_replaced_component():
    assert compose("model.projector=euclidean_attention", "name=${model.projector.name}").name == ATTENTION


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (TrainConfig, ["regularizer=sigreg", "planner=cem", "env=two_room", "seed=1"]),
        (TrainConfig, ["regularizer.num_directions=3", "model.projector.hidden_dim=3", "~model.flow", "--cfg", "job"]),
        (TrainConfig, ["model.flow=", "model.flow=null", "model.flow={num_layers: 3}", "model.flow=[1"]),
        (PlanConfig, ["planner=cem", "model.flow=affine_coupling"]),
    ],
)
def test_words_that_give_no_component_whole_are_left_as_they_are(schema, words):
    assert expand_components(schema, words) == words


def test_each_value_of_a_sweep_is_a_whole_component():
    swept = ["model.flow=null,affine_coupling,{name: affine_coupling, num_layers: 2}"]
    first, second = expanded(*swept)
    assert first == "model.flow=null"
    assert second == "++model.flow=null,{name: affine_coupling},{name:affine_coupling,num_layers:2}"


def test_expanding_twice_is_expanding_once():
    words = ["model.projector={name: euclidean_attention, num_heads: 8}", "model.projector.num_keys=4"]
    twice = expanded(*expanded(*words))
    assert compose(*twice) == compose(*words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model.projector.num_heads=4"], ["'model.projector.num_heads'", "did you mean"]),
        (["model.flow.num_layers=4"], ["'model.flow.num_layers'", "'model.flow'"]),
        (["model.flwo=affine_coupling"], ["'model.flwo'", "'model.flow'"]),
        (["model.flow={name: affine_coupling"], ["{name"]),
    ],
)
def test_a_single_key_that_its_component_does_not_have_is_refused_before_hydra_reads_it(words, named):
    with pytest.raises(InputError) as error:
        check_overrides("train", expanded(*words))
    assert all(word in str(error.value) for word in named)


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    component: Component | None
    ratio: float | None
    word: str | None


GIVEN = {"inner": {"size": 3}, "component": {"name": "x"}, "ratio": 2, "word": "a"}


def test_optional_values_of_every_type_are_read():
    assert from_dict(GIVEN, Outer) == Outer(Inner(3), {"name": "x"}, 2.0, "a")
    assert isinstance(from_dict(GIVEN, Outer).ratio, float)
    assert from_dict(dict.fromkeys(GIVEN), Outer) == Outer(None, None, None, None)


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("inner", 3, "Inner or null"),
        ("component", "x", "dict or null"),
        ("ratio", "half", "float or null"),
        ("ratio", True, "float or null"),
        ("word", 3, "str or null"),
    ],
)
def test_an_optional_value_of_a_wrong_type_is_refused_with_what_it_may_be(key, value, wanted):
    with pytest.raises(InputError, match=f"{key}={value!r} must be {wanted}"):
        from_dict(GIVEN | {key: value}, Outer)


@pytest.mark.parametrize("flow", ["null", "affine_coupling", "{name: affine_coupling, num_layers: 2}"])
def test_a_flow_survives_the_files_of_a_run(tmp_path, flow):
    config = compose(f"model.flow={flow}")
    assert from_dict(json.loads(json.dumps(asdict(config))), TrainConfig) == config
    save(config, tmp_path / "config.yaml")
    assert from_dict(OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")), TrainConfig) == config
    check_resumed(tmp_path / "config.yaml", config)
    with pytest.raises(InputError, match="model"):
        check_resumed(tmp_path / "config.yaml", compose("model.flow={name: other}"))


TYPED = ("model.projector={name: euclidean_attention, num_heads: 2}", "model.projector.num_keys=8")
SHORT = ("training.num_steps=2", "training.checkpoint_every=1", "evaluation.budget=1")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, two_room_data):
    folder = tmp_path_factory.mktemp("runs")
    return (*TINY, *SHORT, f"data.path={two_room_data.path}", f"output_dir={folder}"), folder


def test_a_run_with_an_own_projector_and_a_flow_is_trained_saved_and_resumed(arguments):
    (*words, _), folder = arguments[0], arguments[1]
    words = (*words, f"output_dir={folder}", *TYPED, "model.flow={name: affine_coupling, num_layers: 2}")
    assert run_program(train.main, *words) is None
    checkpoint = latest_checkpoint(folder / "tiny")
    opened = Checkpoint.open(checkpoint)
    spec, step = opened.spec, opened.step
    assert step == 2
    assert spec.model.projector == {"name": ATTENTION, "num_heads": 2, "num_keys": 8}
    assert spec.model.flow == {"name": FLOW, "num_layers": 2}
    model = spec.build_model()
    opened.load_weights(model)
    assert model.flow.couplings[0].conditioner.output.bias.abs().max() > 0
    assert json.loads((folder / "tiny" / "process.json").read_text())["command"][1:] == list(words)
    assert run_program(train.main, *words, "resume=true") is None
    assert_one_line_error(run_program(train.main, *words, "model.flow=null", "resume=true"), "model.flow")


def test_one_command_sweeps_over_components(arguments):
    words, folder = arguments
    swept = ("model.projector=mlp,auto_compressing", "model.projector.hidden_dim=8", "name=${model.projector.name}")
    assert run_program(train.main, "-m", *words, *swept) is None
    for name in ("mlp", "auto_compressing"):
        spec = Checkpoint.open(latest_checkpoint(folder / name)).spec
        assert spec.model.projector == {"name": name, "hidden_dim": 8}


def test_one_command_trains_without_and_with_a_flow(arguments):
    words, folder = arguments
    assert run_program(train.main, "-m", *words, "model.flow=null,affine_coupling", "name=job${hydra:job.num}") is None
    flows = [Checkpoint.open(latest_checkpoint(folder / f"job{job}")).spec.model.flow for job in (0, 1)]
    assert flows == [None, {"name": FLOW}]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model.flow=affine_couplin"], ["flow", "'affine_couplin'", "'affine_coupling'"]),
        (["model.flow={name: affine_coupling, num_layer: 3}"], ["'num_layer'", "'num_layers'"]),
        (["model.flow=affine_coupling", "model.flow.num_layer=3"], ["'num_layer'", "'num_layers'"]),
        (["model.flow=affine_coupling", "model.flow.num_layers=0"], ["num_layers=0"]),
        (["model.projector=euclidian_attention"], ["projector", "'euclidian_attention'", "'euclidean_attention'"]),
        (["model.projector=null"], ["model.projector=None"]),
        (["model.projector=euclidean_attention", "model.projector.logits=cosine"], ["'cosine'", "dot_product"]),
    ],
)
def test_a_component_that_cannot_be_built_is_refused_in_one_line(arguments, words, named):
    assert_one_line_error(run_program(train.main, *arguments[0], "name=refused", *words), *named)
