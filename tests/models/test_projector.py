"""GlobalBatchNorm in one process; over ranks: tests/test_distributed.py."""

import torch

from lewm.models.projector import GlobalBatchNorm, MLPProjector


def test_on_one_process_it_is_batch_norm():
    x = 3 * torch.randn(16, 5, generator=torch.Generator().manual_seed(0)) + 2
    ours, torchs = GlobalBatchNorm(5), torch.nn.BatchNorm1d(5)
    torch.testing.assert_close(ours(x), torchs(x))
    for name, value in torchs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_in_evaluation_a_row_does_not_depend_on_the_others():
    torch.manual_seed(0)
    projector = MLPProjector(4, 3, hidden_dim=8)
    x = torch.randn(16, 4)
    projector(x)
    projector.eval()
    torch.testing.assert_close(projector(x)[:1], projector(x[:1]))


def test_evaluation_leaves_the_running_statistics():
    torch.manual_seed(0)
    projector = MLPProjector(4, 3, hidden_dim=8).eval()
    before = {name: value.clone() for name, value in projector.state_dict().items()}
    projector(torch.randn(16, 4) + 5)
    assert all(torch.equal(value, before[name]) for name, value in projector.state_dict().items())
