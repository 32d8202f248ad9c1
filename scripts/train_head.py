"""Fits a head to a trained run: `lewm train-head run=runs/my_run head=inverse_dynamics`."""

import time

from rich.console import Console

from lewm.config.command_line import program
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.heads.config import TrainHeadConfig
from lewm.heads.files import save_head
from lewm.heads.fitting import build_head, fit_head
from lewm.run import Run
from lewm.tracking import progress_bar
from lewm.training.accelerator import choose_device


@program("train_head", TrainHeadConfig)
def main(config: TrainHeadConfig) -> None:
    run, head_config = Run.open(config.run, device=choose_device(config.device)), config.head_config
    build_head(head_config, run.spec)  # mistakes before any work
    data = run.data(config.data_path)
    if not run.owns(data):
        raise InputError(
            f"{data.path} is not the dataset that run={config.run} was trained on: give that one as data_path"
        )
    use_all_cores(config.num_threads, num_local_ranks=1)
    console, begin = Console(), time.perf_counter()
    with progress_bar(console) as progress:
        fitted = fit_head(run.model, run.spec, data, head_config, seed=config.seed, progress=progress)
    path = save_head(run.path, head_config, fitted, run.checkpoint.weights_hash)
    num_parameters = sum(parameter.numel() for parameter in fitted.head.parameters())
    console.print(f"{head_config.name}: {num_parameters:,} parameters, {time.perf_counter() - begin:.0f} s")
    for name, value in fitted.errors.items():
        console.print(f"held-out {name}: {value:.4f}")
    console.print(f"head: {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
