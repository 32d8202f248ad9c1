"""training.graph and training.compile are on where they pay, and refused where they cannot be."""

import copy
from types import SimpleNamespace

import pytest
import torch

from lewm.config import CONFIGS
from lewm.config.loading import read_yaml
from lewm.regularizers import SIGReg, Wristband
from lewm.training import switches
from lewm.training.compiling import compile_parts
from lewm.training.switches import MIN_COMPILED_STEPS, choose_switches
from tests.programs import TINY, compose, refusal
from tests.runs import spec_of


def choose(*overrides, device="cuda", num_processes=1, regularizer=None):
    accelerator = SimpleNamespace(device=torch.device(device), num_processes=num_processes)
    return choose_switches(compose(*TINY, *overrides).training, accelerator, regularizer or SIGReg())


@pytest.fixture(autouse=True)
def compiler(monkeypatch):
    monkeypatch.setattr(switches, "has_c_compiler", lambda: True)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("experiment/*.yaml")), ids=lambda path: path.stem)
def test_every_preset_leaves_them_to_the_machine(path):
    training = read_yaml(path).get("training", {})
    assert {training.get("graph", "auto"), training.get("compile", "auto")} == {"auto"}


def test_auto_records_on_one_gpu_only():
    assert choose().graph
    assert not choose(num_processes=2).graph
    assert not choose(device="cpu").graph


def test_auto_does_not_record_what_makes_the_gpu_wait():
    assert not choose(regularizer=Wristband()).graph
    assert choose(regularizer=Wristband(moment="kl_diag")).graph


def test_auto_compiles_long_trainings_on_gpus():
    long = f"training.num_steps={MIN_COMPILED_STEPS}"
    assert choose(long).compile
    assert choose(long, num_processes=2).compile
    assert not choose(f"training.num_steps={MIN_COMPILED_STEPS - 1}").compile
    assert not choose(long, device="cpu").compile


def test_auto_does_not_compile_without_a_compiler(monkeypatch):
    monkeypatch.setattr(switches, "has_c_compiler", lambda: False)
    assert not choose(f"training.num_steps={MIN_COMPILED_STEPS}").compile
    assert "install gcc" in refusal(choose, "training.compile=true")


def test_what_is_asked_for_is_done():
    assert choose("training.graph=false", "training.compile=false") == (False, False)
    assert choose("training.graph=true", "training.compile=true") == (True, True)
    assert choose("training.compile=true", device="cpu").compile


@pytest.mark.parametrize(
    "parts", [{"device": "cpu"}, {"num_processes": 2}, {"regularizer": Wristband()}], ids=["cpu", "ranks", "wristband"]
)
def test_a_graph_that_cannot_be_is_refused(parts):
    assert "training.graph=true needs one process on one GPU" in refusal(choose, "training.graph=true", **parts)


@pytest.mark.parametrize("key", ["graph", "compile"])
def test_another_word_is_refused(key):
    message = refusal(compose, f"training.{key}=yes please")
    assert f"training.{key}='yes please' must be true or false or auto" in message


@pytest.fixture
def compiled(monkeypatch):
    """Graphs that were compiled, each left as it is."""
    graphs, original = [], torch.compile

    def backend(graph, _):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", lambda function: original(function, backend=backend))
    return graphs


def small_model(pooling):
    torch.manual_seed(0)
    config = compose(*TINY, "model.encoder.depth=3", "model.predictor.depth=2", f"model.encoder.pooling={pooling}")
    return spec_of(config).build_model().eval()


FRAMES = torch.randint(256, (2, 4, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it
@pytest.mark.parametrize(("pooling", "num_kinds"), [("mean", 3), ("cls", 4)])
def test_compiled_parts_give_the_same_numbers_and_keep_their_names(compiled, pooling, num_kinds):
    model, actions = small_model(pooling), torch.randn(2, 3, 10)
    expected, names = model.predict(model.encode(FRAMES)[:, :3], actions), list(model.state_dict())
    compile_parts(model)
    torch.testing.assert_close(model.predict(model.encode(FRAMES)[:, :3], actions), expected)
    assert list(model.state_dict()) == names
    assert len(compiled) == num_kinds  # patches, the encoder's blocks, the predictor's; the row of a class token


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_stream_of_a_compiled_encoder_is_bfloat16_under_autocast_alone(compiled, pooling):
    encoder, frames, types = small_model(pooling).encoder, FRAMES.flatten(0, 1), []
    expected = encoder(frames)
    encoder.compile_parts()
    encoder.vit.blocks[1].register_forward_pre_hook(lambda _, inputs: types.append(inputs[0].dtype))
    torch.testing.assert_close(encoder(frames), expected)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = encoder(frames)
    assert types == [torch.float32, torch.bfloat16]
    assert (narrow - expected).norm() < 0.02 * expected.norm()


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_copy_of_a_compiled_model_runs_on_its_own_weights(compiled):
    model = small_model("cls")
    compile_parts(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    before = model.encode(FRAMES)
    assert (twin.encode(FRAMES) - before).abs().max() > 0.01
    torch.testing.assert_close(model.encode(FRAMES), before)
