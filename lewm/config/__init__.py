"""Typed configurations: the schema of configs/, and how train.py and the scripts read it.

Hydra composes the YAML files and the command line; a program's main() gets one of the frozen dataclasses of the schema.
"""

from lewm.config.components import Component, build, is_a, suggestion
from lewm.config.loading import (
    AFTER_TRAINING,
    CONFIGS,
    WHERE_AND_HOW_FAST,
    alternatives,
    changed_key,
    check_resumed,
    flat,
    from_dict,
    known_keys,
    read_run_config,
    read_yaml,
    save,
)
from lewm.config.schema import (
    AblateConfig,
    CollectConfig,
    CollectionConfig,
    DataConfig,
    EnvConfig,
    EvaluationConfig,
    ImportCheckpointConfig,
    ModelConfig,
    PlanConfig,
    PlanningConfig,
    RecordingConfig,
    SpeedrunConfig,
    TrainConfig,
    TrainingConfig,
)

__all__ = [
    "AFTER_TRAINING",
    "CONFIGS",
    "WHERE_AND_HOW_FAST",
    "AblateConfig",
    "CollectConfig",
    "CollectionConfig",
    "Component",
    "DataConfig",
    "EnvConfig",
    "EvaluationConfig",
    "ImportCheckpointConfig",
    "ModelConfig",
    "PlanConfig",
    "PlanningConfig",
    "RecordingConfig",
    "SpeedrunConfig",
    "TrainConfig",
    "TrainingConfig",
    "alternatives",
    "build",
    "changed_key",
    "check_resumed",
    "flat",
    "from_dict",
    "is_a",
    "known_keys",
    "read_run_config",
    "read_yaml",
    "save",
    "suggestion",
]
