"""training.graph and training.compile are on where they pay, and refused where they cannot be."""

from types import SimpleNamespace

import pytest
import torch

from lewm.config import CONFIGS
from lewm.config.loading import read_yaml
from lewm.regularizers import SIGReg, Wristband
from lewm.training import switches
from lewm.training.compiling import compile_blocks
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


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it
def test_compiled_blocks_give_the_same_numbers_and_keep_their_names():
    torch.manual_seed(0)
    config = compose(*TINY, "model.encoder.depth=2", "model.predictor.depth=2")
    model = spec_of(config).build_model().eval()
    pixels, actions = torch.randint(256, (2, 4, 3, 48, 48), dtype=torch.uint8), torch.randn(2, 3, 10)
    expected, names = model.predict(model.encode(pixels)[:, :3], actions), list(model.state_dict())
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph

    original = torch.nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda self: original(self, backend=backend))
        compile_blocks(model)
    torch.testing.assert_close(model.predict(model.encode(pixels)[:, :3], actions), expected)
    assert list(model.state_dict()) == names
    assert len(compiled) == 2  # one kind of block in the encoder, one in the predictor
