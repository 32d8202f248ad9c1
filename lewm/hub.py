"""Trained models on the Hugging Face Hub: download, upload, and the model card. Nothing else here uses a network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from lewm.errors import InputError
from lewm.provenance import shown_command
from lewm.training.model_spec import ModelSpec

FILES = ("*.safetensors", "*.json", "*.yaml", "README.md")
"""Patterns of the files of a published model; no others are downloaded."""


def download(model_id: str, revision: str | None = None) -> Path:
    """Downloads a published model into the cache of huggingface_hub, or finds it there.

    Args:
      model_id: id on the hub, as "user/name".
      revision: branch, tag or commit; the latest commit by default.

    Returns:
      The folder of the model.

    Raises:
      InputError: there is no such model, or the hub cannot be reached.
    """
    with _one_line(f"{model_id} is no folder, and cannot be downloaded from the Hugging Face Hub"):
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=list(FILES)))


def upload(folder: Path, model_id: str, *, private: bool | None = None) -> str:
    """Uploads a folder in one commit; the repository is made if there is none.

    Args:
      folder: what Run.save_pretrained() wrote.
      model_id: id on the hub, as "user/name".
      private: whether a new repository is private; None for the default of the account.

    Returns:
      URL of the commit.

    Raises:
      InputError: the id is none, there is no token that may write it, or the hub cannot be reached.
    """
    hub = HfApi(library_name="lewm")
    with _one_line(f"{model_id} cannot be uploaded to the Hugging Face Hub"):
        hub.create_repo(model_id, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=model_id, folder_path=folder, commit_message="Upload by lewm").commit_url)


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Turns errors of the hub and of the way there into an InputError."""
    # The base classes of HfHubHTTPError are those of all errors of the HTTP library.
    errors: tuple[Any, ...] = (HFValidationError, OSError, *HfHubHTTPError.__bases__)
    try:
        yield
    except errors as error:
        said = [line for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{what}: {' '.join(said[:2])}") from error


def model_card(
    name: str, spec: ModelSpec, step: int, training: Mapping[str, Any], results: Mapping[str, Any] | None
) -> str:
    """Text of README.md: what the model is, what it reaches, and how it was made.

    Args:
      name: name of the model, or its id on the hub.
      spec: specification of the model.
      step: training steps that led to the weights.
      training: command, commit and versions of the training, see lewm.provenance; may lack any.
      results: results.json of an evaluation of these weights, or None.
    """
    env_id = spec.data.env_id
    data = ModelCardData(
        library_name="lewm",
        tags=["world-model", "jepa", "planning"],
        model_name=name,
        eval_results=[_eval_result(results)] if results and "model" in results else None,
    )
    made = [
        f"- {step:,} training steps on {spec.frame_size} x {spec.frame_size} frames, {spec.frameskip} env steps to a"
        " model step",
        f"- Dataset: {env_id}, content hash `{spec.data.content_hash}`",
    ]
    if command := training.get("command"):
        made.append(f"- Command: `{shown_command(command)}`")
    if commit := training.get("commit"):
        made.append(f"- Commit of lewm: `{commit}`")
    if versions := training.get("versions"):
        made.append("- Versions: " + ", ".join(f"{package} {version}" for package, version in versions.items()))
    lines = "\n".join(made)
    text = f"""# {name}

A JEPA world model of {env_id}, trained from pixels and actions by [lewm](https://arxiv.org/abs/2603.19312)'s method.

```python
from lewm.run import Run

agent = Run.from_pretrained("{name}").agent()
plan = agent.plan(frames, past_actions, goal_frame)
```

## Evaluation

{_evaluation(results)}

## Training

{lines}
"""
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def _eval_result(results: Mapping[str, Any]) -> EvalResult:
    protocol, strict = results["protocol"], results["model"]["strict_success"]
    return EvalResult(
        task_type="robotics",
        task_name="planning to goal images",
        dataset_type=protocol["env_id"],
        dataset_name=f"{protocol['env_id']}, goals {protocol['offset']} env steps ahead",
        dataset_split=protocol["split"],
        metric_type="success_rate",
        metric_name="strict success, %",
        metric_value=round(100 * strict["rate"], 1),
    )


def _evaluation(results: Mapping[str, Any] | None) -> str:
    """Success with intervals beside the baselines, and what was tried; of recordings the error of the prediction."""
    if results is None:
        return "These weights have not been evaluated."
    if "model" not in results:
        ratio = results["diagnostics"]["val/prediction_over_copy_last"]
        return f"Prediction: {ratio:.3f} of the error of copying the last frame, on held-out episodes."
    protocol, identity = results["protocol"], results["identity"]
    rows = {"this model": results["model"], **results["baselines"]}
    lines = [
        "| Policy | Strict success (95% interval) | At the end |",
        "|---|---|---|",
        *(
            f"| {policy} | {_rate(row['strict_success'])} | {_rate(row['strict_success_at_end'])} |"
            for policy, row in rows.items()
        ),
        "",
        f"- {protocol['num_pairs']} {protocol['split']} pairs of start and goal, {protocol['num_episodes']} episodes",
        f"- Goals {protocol['offset']} env steps ahead, budget {protocol['budget']}",
        "- *Strict*: over the pairs that are not solved at the start",
        f"- Manifest of the pairs: `{protocol['manifest_hash']}`",
        f"- Command: `{shown_command(identity['command'])}`, commit `{identity['commit']}`",
    ]
    if policy := identity.get("policy"):
        lines.append(f"- Planner: {policy['planner']['name']}, goal cost {policy['planning']['goal_cost']}")
    return "\n".join(lines)


def _rate(rate: Mapping[str, Any]) -> str:
    """62.4% (121/194; 55.4 to 68.9)"""
    if not rate["trials"]:
        return "no pairs"
    low, high = 100 * rate["low"], 100 * rate["high"]
    return f"{rate['rate']:.1%} ({rate['successes']}/{rate['trials']}; {low:.1f} to {high:.1f})"
