"""Hydra's launcher of scripts/ablate.py for this machine: several cells at once. Found by Hydra through its name."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class LocalLauncher(Launcher):
    """Gives all of a sweep's jobs to the task's own run_all(), which starts a process for each.

    Args:
      jobs: cells at once; None: as many as this machine has GPUs or cores for.
      jobs_per_gpu: most cells that share a GPU; None: one, or as many as jobs needs.
    """

    def __init__(self, jobs: int | None, jobs_per_gpu: int | None) -> None:
        self.jobs, self.jobs_per_gpu = jobs, jobs_per_gpu

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configs = []
        for overrides in job_overrides:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                del config["hydra"]
            configs.append(config)
        self.task_function.run_all(configs, self.jobs, self.jobs_per_gpu)
        return [
            JobReturn(overrides=overrides, cfg=config, status=JobStatus.COMPLETED)
            for overrides, config in zip(job_overrides, configs, strict=True)
        ]
