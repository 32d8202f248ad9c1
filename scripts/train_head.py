"""Fits a head to a trained run: `python scripts/train_head.py run=runs/my_run head=inverse_dynamics`."""

import time
from pathlib import Path

from rich.console import Console

from lewm.config.command_line import program
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.files import sha256_of
from lewm.heads.config import TrainHeadConfig
from lewm.heads.files import save_head
from lewm.heads.fitting import build_head, fit_head
from lewm.tracking import progress_bar
from lewm.training.checkpoint import latest_checkpoint, load_spec, load_weights
from scripts.plan import choose_device, open_data


@program("train_head", TrainHeadConfig)
def main(config: TrainHeadConfig) -> None:
    run_dir = Path(config.run)
    checkpoint = latest_checkpoint(run_dir)
    if checkpoint is None:
        raise InputError(f"run={config.run} holds no checkpoint: give the folder of a trained run")
    spec, _ = load_spec(checkpoint)
    build_head(config.head, spec, config.fitting.max_steps)  # mistakes before any work
    data = open_data(config.data_path or spec.config.data.path, spec.config.env, spec)
    if data.content_hash != spec.dataset_hash:
        raise InputError(
            f"{data.path} is not the dataset that run={config.run} was trained on: give that one as data_path"
        )
    device = choose_device(config.device)
    use_all_cores(config.num_threads, num_local_ranks=1)
    model = spec.build_model()
    weights_hash = sha256_of(checkpoint / "model.safetensors")  # a run that still trains may have others by then
    load_weights(checkpoint, model)
    model.to(device).eval()
    console, begin = Console(), time.perf_counter()
    with progress_bar(console) as progress:
        fitted = fit_head(model, spec, data, config.head_config, seed=config.seed, progress=progress)
    path = save_head(run_dir, config.head_config, fitted, weights_hash)
    num_parameters = sum(parameter.numel() for parameter in fitted.head.parameters())
    console.print(f"{config.head['name']}: {num_parameters:,} parameters, {time.perf_counter() - begin:.0f} s")
    for name, value in fitted.errors.items():
        console.print(f"held-out {name}: {value:.4f}")
    console.print(f"head: {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
