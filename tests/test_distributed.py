"""Two gloo processes, each with half of the batch, do what one process with the whole batch does.

The gradient meant is the one that DistributedDataParallel leaves in the parameters.
"""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lewm.config import build
from lewm.diagnostics import gaussianity
from lewm.diagnostics.probing import linear_probe_r2
from lewm.diagnostics.slice_tests import simulate
from lewm.distributed import gather_over_ranks, mean_over_ranks, num_ranks, one_thread
from lewm.errors import InputError
from lewm.models.projector import GlobalBatchNorm
from lewm.regularizers import REGULARIZERS, Wristband
from tests.ranks import run_ranks
from tests.registries import REGULARIZER_CONFIGS

BATCH, STEPS, INPUTS, WIDTH = 24, 3, 5, 8
NORMS = {"float32": (False, 0.5), "bfloat16": (True, 3.0)}  # autocast, and the bias before the norm


def share_of(x, rank, ranks):
    return x.chunk(ranks)[rank]


def uneven_batch():
    """(B, T, INPUTS) samples whose first half differs from the second in mean and spread."""
    x = torch.randn(BATCH, STEPS, INPUTS, generator=torch.Generator().manual_seed(0))
    return x * torch.linspace(0.5, 2, BATCH)[:, None, None] + torch.linspace(-1, 1, BATCH)[:, None, None]


def over_ranks(module, ranks):
    return DistributedDataParallel(module, broadcast_buffers=False) if ranks > 1 else module


def gradient_of(module):
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])


def regularized(name, rank, ranks):
    """Value of a regularizer on a linear map's output, and the gradient of the map."""
    torch.manual_seed(0)
    linear = over_ranks(nn.Linear(INPUTS, WIDTH), ranks)
    z = linear(share_of(uneven_batch(), rank, ranks))
    regularizer = build(REGULARIZERS, REGULARIZER_CONFIGS[name], "regularizer")
    value = regularizer(z, generator=torch.Generator().manual_seed(1))
    value.backward()
    return {"value": value.detach(), "gradient": gradient_of(linear)}


def normalized(case, rank, ranks):
    """Outputs of a GlobalBatchNorm, the gradient of all parameters for a loss of them, and its buffers."""
    autocast, bias = NORMS[case]
    torch.manual_seed(0)
    norm = GlobalBatchNorm(WIDTH)
    linear = nn.Linear(INPUTS, WIDTH)
    nn.init.constant_(linear.bias, bias)
    nn.init.normal_(norm.weight)
    module = over_ranks(nn.Sequential(linear, norm), ranks)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = module(share_of(uneven_batch(), rank, ranks).flatten(0, 1))
    (out.float() - 0.3).pow(3).mean().backward()
    return {"out": out.detach(), "gradient": gradient_of(module), "buffers": dict(norm.named_buffers())}


def mean_of_ranks(rank, ranks):
    """The mean over ranks of two numbers, and their gradient when each rank's loss is 1 + rank times the mean."""
    x = torch.tensor([1.0 + 10 * rank, 2.0], requires_grad=True)
    mean = mean_over_ranks(x)
    ((1 + rank) * mean).sum().backward()
    return {"mean": mean.detach(), "gradient": x.grad, "num_ranks": torch.tensor(num_ranks())}


def gathered(rank, ranks):
    """A tensor gathered over ranks, and the gradient when each rank's loss is 1 + rank times its weighted sum."""
    x = torch.tensor([[1.0 + 10 * rank, 2.0]], requires_grad=True)
    everything = gather_over_ranks(x)
    ((1 + rank) * everything * torch.arange(1.0, 2 * ranks + 1).view(ranks, 2)).sum().backward()
    return {"gathered": everything.detach(), "gradient": x.grad}


def refused(rank, ranks):
    """What each rank says of one sample on each; an empty text if nothing."""
    try:
        build(REGULARIZERS, REGULARIZER_CONFIGS["mmd"], "regularizer")(
            torch.zeros(1, 2, WIDTH), generator=torch.Generator()
        )
    except InputError as error:
        return str(error)
    return ""


def spoiled(rank, ranks):
    """Values of the regularizers on each rank, where the last one has NaN among its samples."""
    z = torch.randn(4, 3, WIDTH, generator=torch.Generator().manual_seed(rank))
    z[0, 0, 0] = torch.nan if rank == ranks - 1 else 0.0
    return {
        name: build(REGULARIZERS, config, "regularizer")(z, generator=torch.Generator().manual_seed(0))
        for name, config in REGULARIZER_CONFIGS.items()
    }


def calibrated(rank, ranks):
    """The calibration that a Wristband has after one call."""
    regularizer = Wristband()
    regularizer(share_of(torch.randn(24, 2, WIDTH), rank, ranks), generator=torch.Generator())
    return regularizer.state_dict()


def everything(rank, ranks):
    """All cases in one go, because starting processes takes longer than the cases do."""
    return {
        "regularizers": {name: regularized(name, rank, ranks) for name in REGULARIZER_CONFIGS},
        "norms": {case: normalized(case, rank, ranks) for case in NORMS},
        "mean": mean_of_ranks(rank, ranks),
        "gathered": gathered(rank, ranks),
        "refused": refused(rank, ranks),
        "spoiled": spoiled(rank, ranks),
        "calibrated": calibrated(rank, ranks),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return run_ranks(everything, 2, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def one():
    return everything(rank=0, ranks=1)


def assert_near(actual, expected, tolerance):
    assert (actual - expected).norm() <= tolerance * expected.norm()


def test_without_a_process_group_there_is_one_rank_and_means_are_plain():
    x = torch.randn(3, requires_grad=True)
    assert num_ranks() == 1
    assert torch.equal(mean_over_ranks(x), x)


def test_a_mean_over_ranks_is_the_same_on_each(two):
    for rank in two:
        assert rank["mean"]["mean"].tolist() == [6.0, 2.0]
        assert rank["mean"]["num_ranks"] == 2


def test_the_losses_of_all_ranks_reach_each_rank_through_a_mean(two):
    for rank in two:
        assert rank["mean"]["gradient"].tolist() == [1.5, 1.5]


def test_gathering_puts_the_samples_of_all_ranks_in_order(two):
    for rank in two:
        assert rank["gathered"]["gathered"].tolist() == [[1, 2], [11, 2]]


def test_the_losses_of_all_ranks_reach_each_rank_through_a_gather(two):
    assert two[0]["gathered"]["gradient"].tolist() == [[3 * 1, 3 * 2]]
    assert two[1]["gathered"]["gradient"].tolist() == [[3 * 3, 3 * 4]]


def test_no_regularizer_but_none_hides_from_a_rank_that_another_has_samples_that_are_not_finite(two):
    for name in two[0]["spoiled"].keys() - {"none"}:
        assert [rank["spoiled"][name].isfinite().item() for rank in two] == [False, False], name


def test_two_ranks_with_a_sample_each_are_enough(two, one):
    assert "at least 2" in one["refused"]
    assert [rank["refused"] for rank in two] == ["", ""]


def test_a_calibration_is_that_of_the_whole_batch_on_every_rank(one, two):
    for rank in two:
        assert_near(rank["calibrated"]["_extra_state"], one["calibrated"]["_extra_state"], 1e-9)
    assert torch.equal(two[0]["calibrated"]["_extra_state"], two[1]["calibrated"]["_extra_state"])


@pytest.mark.parametrize("name", REGULARIZER_CONFIGS)
def test_a_regularizer_has_the_value_of_the_whole_batch(one, two, name):
    for rank in two:
        assert_near(rank["regularizers"][name]["value"], one["regularizers"][name]["value"], 1e-5)


@pytest.mark.parametrize("name", REGULARIZER_CONFIGS)
def test_a_regularizer_has_the_gradient_of_the_whole_batch(one, two, name):
    for rank in two:
        assert_near(rank["regularizers"][name]["gradient"], one["regularizers"][name]["gradient"], 1e-5)


@pytest.mark.parametrize("name", [name for name in REGULARIZER_CONFIGS if name != "none"])
def test_these_tests_would_notice_statistics_of_one_rank(one, name):
    torch.manual_seed(0)
    z = nn.Linear(INPUTS, WIDTH)(uneven_batch())
    regularizer = build(REGULARIZERS, REGULARIZER_CONFIGS[name], "regularizer")
    halves = [regularizer(half, generator=torch.Generator().manual_seed(1)) for half in z.chunk(2)]
    assert (torch.stack(halves).mean() / one["regularizers"][name]["value"] - 1).abs() > 0.01


def test_batch_norm_has_the_outputs_of_the_whole_batch(one, two):
    out = torch.cat([rank["norms"]["float32"]["out"] for rank in two])
    assert_near(out, one["norms"]["float32"]["out"], 1e-5)


def test_batch_norm_has_the_gradient_of_the_whole_batch(one, two):
    for rank in two:
        assert_near(rank["norms"]["float32"]["gradient"], one["norms"]["float32"]["gradient"], 1e-5)


@pytest.mark.parametrize("buffer", ["running_mean", "running_var", "num_batches_tracked"])
def test_batch_norm_has_the_running_statistics_of_the_whole_batch(one, two, buffer):
    for rank in two:
        buffers, expected = rank["norms"]["float32"]["buffers"], one["norms"]["float32"]["buffers"]
        assert_near(buffers[buffer].float(), expected[buffer].float(), 1e-5)


@pytest.mark.parametrize("buffer", ["running_mean", "running_var"])
def test_batch_norm_keeps_statistics_in_float32_under_autocast(one, two, buffer):
    for rank in two:
        buffers, expected = rank["norms"]["bfloat16"]["buffers"], one["norms"]["bfloat16"]["buffers"]
        # Its inputs are the same bfloat16 numbers; statistics rounded to bfloat16 are off by up to 4e-3.
        assert_near(buffers[buffer], expected[buffer], 1e-4)


def test_batch_norm_under_autocast_returns_what_one_process_returns(one, two):
    out, expected = torch.cat([rank["norms"]["bfloat16"]["out"] for rank in two]), one["norms"]["bfloat16"]["out"]
    assert out.dtype == expected.dtype
    assert_near(out.float(), expected.float(), 4e-3)  # one rounding to bfloat16


def test_within_one_thread_there_is_one_and_afterwards_as_many_as_before():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(RuntimeError, match="1"), one_thread():
            raise RuntimeError(torch.get_num_threads())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(num_threads)


@pytest.fixture
def three_threads():
    """Three threads of torch, whatever the machine has."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(num_threads)


def test_a_calibration_runs_on_one_thread(three_threads, monkeypatch):
    noted, components = set(), Wristband.components

    def note(self, x):
        noted.add(torch.get_num_threads())
        return components(self, x)

    monkeypatch.setattr(Wristband, "components", note)
    Wristband().draw_calibration(8, 3)
    assert noted == {1}
    assert torch.get_num_threads() == three_threads


def test_a_null_distribution_is_drawn_on_one_thread(three_threads):
    drawn = simulate(lambda z: {"num_threads": torch.get_num_threads()}, num_samples=8, dim=2, num_draws=3)
    assert drawn["num_threads"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("function", ["effective_rank", "squared_wasserstein"])
def test_statistics_of_embeddings_run_on_one_thread(three_threads, monkeypatch, function):
    noted, original = set(), getattr(gaussianity, function)

    def note(z):
        noted.add(torch.get_num_threads())
        return original(z)

    monkeypatch.setattr(gaussianity, function, note)
    gaussianity.gaussianity_report(torch.randn(16, 3), num_slices=4, num_draws=3)
    gaussianity.rank_and_std(torch.randn(16, 3))
    assert noted == {1}


def test_probes_are_fitted_on_one_thread(three_threads, monkeypatch):
    noted, lstsq = set(), torch.linalg.lstsq

    def note(*arguments, **keywords):
        noted.add(torch.get_num_threads())
        return lstsq(*arguments, **keywords)

    monkeypatch.setattr(torch.linalg, "lstsq", note)
    z, states = torch.randn(16, 3), torch.randn(16, 2)
    linear_probe_r2(z, states, z, states)
    assert noted == {1}
