"""The benchmark compares what it says, and writes what it measured."""

import json

import pytest
import torch

from lewm.regularizers import REGULARIZERS, SIGReg, Wristband
from lewm.regularizers.wristband.terms import on_the_wristband, pairwise_repulsion
from scripts.benchmarks import regularizers
from scripts.benchmarks.direct_formulas import direct_repulsion, direct_sigreg, direct_wristband
from scripts.benchmarks.gpu_step import floor_us
from scripts.benchmarks.measuring import Contender, errors, medians, peak_mb

CPU = torch.device("cpu")


def batch(num_samples, dim):
    return torch.randn(num_samples, 1, dim, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "table.json"
    regularizers.main(["--quick", "--repeats", "1", "--threads", "1", "--json", str(path)])
    return json.loads(path.read_text())


def test_the_table_holds_every_registered_regularizer_at_every_size(results):
    rows = [row for row in results["rows"] if row["race"] == "Registered regularizers"]
    assert {(row["name"], row["num_samples"]) for row in rows} == {
        (name, n) for name in REGULARIZERS for n in (64, 128)
    }
    assert all(row["forward_ms"] > 0 and row["forward_backward_ms"] > 0 for row in rows)


def test_sigreg_is_as_exact_as_promised(results):
    (row,) = (row for row in results["rows"] if row["name"] == "sigreg" and "times_faster" in row)
    assert row["value_error"] < 1e-5
    assert row["gradient_error"] < 1e-5


def test_the_results_name_the_machine_the_versions_and_the_threads(results):
    assert results["machine"]["threads"] == 1
    assert results["machine"]["device"] == "cpu"
    assert results["versions"]["torch"]


def test_the_direct_sigreg_is_sigreg():
    z = batch(40, 12)
    value = SIGReg()(z, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(value, direct_sigreg(z), rtol=1e-5, atol=0)


def test_the_direct_repulsion_is_that_of_wristband():
    u, t, _ = on_the_wristband(batch(40, 12)[:, 0])
    torch.testing.assert_close(direct_repulsion(u, t), pairwise_repulsion(u, t, "chordal", "per_point"))


@pytest.mark.parametrize("dim", [12, 80])
def test_the_direct_wristband_is_the_sum_of_the_terms(dim):
    z = batch(40, dim)
    z = z.double()  # the smallest eigenvalue is 0 but for rounding
    terms = Wristband().components(z[:, 0])
    expected = terms.repulsion + 0.1 * terms.radial + terms.moment
    torch.testing.assert_close(direct_wristband(z), expected, rtol=1e-6, atol=0)


def test_errors_are_relative_and_of_value_and_gradient():
    z = torch.tensor([3.0, 4.0])
    twice_too_large = Contender(lambda z: 2 * z.square().sum(), lambda z: z.square().sum())
    assert errors(twice_too_large, z) == pytest.approx((1.0, 1.0))


def test_a_loss_that_refuses_float64_has_no_error():
    matrix = torch.ones(2, 2)
    contender = Contender(lambda z: (z @ matrix).sum(), lambda z: (z @ matrix).sum())
    assert errors(contender, torch.ones(1, 2)) == (None, None)


def test_peak_memory_is_what_a_call_holds_at_once():
    size = 2**22

    def three_at_once():
        a = torch.ones(size)
        b = a + 1
        return a + b

    measured = peak_mb(three_at_once, CPU)
    if measured is None:
        pytest.skip("needs Linux's /proc")
    assert measured == pytest.approx(3 * 4 * size / 1e6, rel=0.1)


def test_contenders_are_called_in_turn():
    calls = []
    medians({name: lambda name=name: calls.append(name) for name in "ab"}, CPU, 2)
    assert "".join(calls) == "ab" * 4


def test_the_floor_of_a_gpu_step_is_that_of_its_arithmetic():
    # 2 x 512 x 1024 x 192 multiply-adds of the matrix products and 12 per projection and knot, at 33.5e12 a second.
    multiply_adds = 512 * 1024 * (2 * 192 + 16 * 12)
    assert floor_us("NVIDIA H200", (128, 4, 192), 1024, 16) == pytest.approx(1e6 * multiply_adds / 33.5e12)
    assert floor_us("an unknown GPU", (128, 4, 192), 1024, 16) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats 0"),
        (["--threads", "0"], "--threads 0"),
        (["--json", "nowhere/table.json"], "no folder nowhere"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_is_measured(arguments, message):
    with pytest.raises(SystemExit, match=message):
        regularizers.main(arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(SystemExit, match="torch sees no GPU"):
        regularizers.main(["--device", "cuda"])
