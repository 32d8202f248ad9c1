"""Ctrl-C and other signals that end a training, noticed between two steps."""

import signal
from types import FrameType, TracebackType
from typing import Self

import torch
import torch.distributed as dist

from lewm.distributed import num_ranks
from lewm.errors import ending_signals


class Interrupt:
    """Context in which a first Ctrl-C or ending signal is only remembered; a second one acts at once, as outside."""

    def __init__(self) -> None:
        self._wanted = False

    def __enter__(self) -> Self:
        numbers = signal.SIGINT, *ending_signals()
        self._previous = {number: signal.signal(number, self._remember) for number in numbers}
        return self

    def _remember(self, number: int, _: FrameType | None) -> None:
        self._wanted = True
        signal.signal(number, self._previous[signal.Signals(number)])

    def wanted(self, device: torch.device) -> bool:
        """True on all ranks if one of them was interrupted; `device` is that of the ranks' collectives."""
        if num_ranks() == 1:
            return self._wanted
        flag = torch.tensor(float(self._wanted), device=device)
        dist.all_reduce(flag)
        return bool(flag > 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
