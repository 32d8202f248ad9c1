"""The page of an evaluation: one HTML file that holds everything it shows and needs no network."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from omegaconf import OmegaConf

from lewm.errors import InputError
from lewm.evaluation.film_choice import failures_first
from lewm.files import write_text
from lewm.provenance import shown_command
from lewm.report.figures import Figure, Traces, figures, learning_curves, policies
from lewm.report.markup import document, interval, number, percent, rate_cell, safe, table
from lewm.report.media import FPS
from lewm.report.pictures import film_section, imagination_section
from lewm.results import read_results

SCRIPT = Path(__file__).with_name("report.js")
OF_PAIRS = ("distances", "z_distance", "best_costs")
"""Arrays of traces.npz with a row for each pair."""

FINAL_DISTANCE = "Final distance: median, as the environment measures it; 1 is the edge of success."

RATES = {
    "success": "success",
    "strict_success": "strict success",
    "success_at_end": "success at the end",
    "strict_success_at_end": "strict success at the end",
}
"""The rates that a policy's row may hold, and their titles."""


def save_page(folder: Path) -> Path:
    """Writes <folder>/report.html from results.json and what else an evaluation left there, and returns its path.

    What is missing is left out: traces.npz, videos/, config.yaml, and the baselines and pairs of recordings.

    Raises:
      InputError: there are no results, or a file cannot be read.
    """
    results, path = read_results(folder / "results.json"), folder / "report.html"
    traces = read_traces(folder / "traces.npz")
    if any(len(traces[name]) != len(results.get("pairs", ())) for name in OF_PAIRS if name in traces):
        traces = {}  # of an evaluation that was ended before it had results
    write_text(path, page(results, traces, folder))
    return path


def read_traces(path: Path) -> Traces:
    """The arrays of traces.npz, none if there is no such file."""
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): evaluate again, or remove it") from None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, none if there is no such file. The last one of a killed run may be cut off."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        return [json.loads(line) for line in lines[:-1]] + [json.loads(line) for line in lines[-1:] if line[-1:] == "}"]
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): remove it") from None


def page(results: Mapping[str, Any], traces: Traces, folder: Path) -> str:
    """The whole page as text."""
    name = str(results["identity"]["run"])
    sections = [f"<h1>{safe(name)}</h1>"]
    if "model" in results:
        sections += [_summary(results), _success(results), _charts(results, traces)]
        sections += [film_section(results, folder), imagination_section(traces), _pairs(results)]
    sections += [_training(folder), _diagnostics(results["diagnostics"]), _origin(results, folder)]
    return document(f"{name}: evaluation", sections, f"const FPS = {FPS};\n{SCRIPT.read_text(encoding='utf-8')}")


def _summary(results: Mapping[str, Any]) -> str:
    protocol, model = results["protocol"], results["model"]
    numbers = []
    for tag, title in (("strict_success", "Strict success"), ("strict_success_at_end", "Strict, at the end")):
        numbers.append((title, percent(model[tag]["rate"]), f"95% interval {interval(model[tag])}"))
    if "random" in results["baselines"]:
        random = results["baselines"]["random"]["strict_success"]
        numbers.append(("Random actions", percent(random["rate"]), f"95% interval {interval(random)}"))
    planning = results.get("planning") or {}
    if "milliseconds_per_plan_median" in planning:
        median, p95 = (planning[f"milliseconds_per_plan_{each}"] for each in ("median", "p95"))
        numbers.append(("Time per plan", f"{median:.1f} ms", f"per episode, median; 95th percentile {p95:.1f} ms"))
    items = "".join(
        f"<div><dt>{title}</dt><dd>{value}<small>{note}</small></dd></div>" for title, value, note in numbers
    )
    about = (
        f"{protocol['num_pairs']} pairs of start and goal, {protocol['offset']} env steps apart, with"
        f" {protocol['budget']} env steps to get there. {percent(results['already_solved'])} of them are solved at the"
        f" start, and left out of strict success. {protocol['split'].capitalize()} split:"
        f" {results['source']['episodes']}."
    )
    return f'<p class="soft">{safe(about)}</p><dl class="key-numbers">{items}</dl>'


def _success(results: Mapping[str, Any]) -> str:
    rows = policies(results)
    tags = [tag for tag in RATES if any(tag in row for row in rows.values())]
    others = [tag for tag in results["model"] if isinstance(results["model"][tag], float)]
    cells = [
        [safe(name), *(rate_cell(row.get(tag)) for tag in tags), *(number(row.get(tag), 3) for tag in others)]
        for name, row in rows.items()
    ]
    caption = "In brackets successes and pairs, below them the 95% interval (Wilson, with episodes as clusters)."
    caption += f" {FINAL_DISTANCE}" if "final_distance" in others else ""
    headers = ["policy", *(RATES[tag] for tag in tags), *(tag.replace("_", " ") for tag in others)]
    return "<h2>Success</h2>" + table(headers, cells, caption)


def _training(folder: Path) -> str:
    """Learning curves of a run that is evaluated in its own folder."""
    drawn = learning_curves(read_metrics(folder / "metrics.jsonl"))
    return f'<h2>Training</h2><div class="charts">{_drawn(drawn)}</div>' if drawn else ""


def _charts(results: Mapping[str, Any], traces: Traces) -> str:
    return f'<div class="charts">{_drawn(figures(results, traces))}</div>'


def _drawn(figures: Iterable[Figure]) -> str:
    return "".join(
        f"<figure><h3>{each.title}</h3>{each.chart}<figcaption>{each.caption}</figcaption></figure>" for each in figures
    )


def _pairs(results: Mapping[str, Any]) -> str:
    pairs, rows, classes = results["pairs"], [], []
    order = failures_first([pair["reached"] for pair in pairs], [pair["solved_at_start"] for pair in pairs])
    knows_step, knows_distance = (
        ("first_success" in pairs[0], "final_distance" in pairs[0]) if pairs else (False, False)
    )
    for i in order:
        pair = pairs[i]
        outcome = "solved at the start" if pair["solved_at_start"] else "reached" if pair["reached"] else "failed"
        row = [str(i), outcome, "yes" if pair["at_end"] else "no"]
        row += [number(pair["first_success"])] * knows_step + [number(pair["final_distance"], 3)] * knows_distance
        rows.append([*row, str(pair["episode"]), str(pair["step"])])
        classes.append(outcome.split()[0])
    headers = ["pair", "outcome", "success at the end", *["first success, env step"] * knows_step]
    headers += [*["final distance"] * knows_distance, "episode", "start, env step"]
    shown = table(headers, rows, "", classes, text=1)
    return f"<details><summary>Every pair, failures first ({len(pairs)})</summary>{shown}</details>"


def _diagnostics(diagnostics: Mapping[str, float]) -> str:
    if not diagnostics:
        return ""
    rows = [[safe(tag), number(value)] for tag, value in diagnostics.items()]
    shown = table(["measure", "value"], rows, "On held-out episodes.")
    return f"<details><summary>Probes and other measures of the model ({len(rows)})</summary>{shown}</details>"


def _origin(results: Mapping[str, Any], folder: Path) -> str:
    """Which model this is, and how to get these numbers again."""
    identity = results["identity"]
    command = f"<pre>{safe(shown_command(identity['command']))}</pre>" if "command" in identity else ""
    versions = ", ".join(f"{package} {version}" for package, version in identity.get("versions", {}).items())
    facts = {
        "Model": {
            **{key: identity[key] for key in identity if key not in ("command", "versions")},
            "versions": versions,
        },
        "Training": identity.get("trained_on"),
        "Evaluation": results.get("protocol"),
        "Planning": results.get("planning"),
    }
    lists = "".join(f"<div><h3>{title}</h3>{_facts(values)}</div>" for title, values in facts.items() if values)
    return f'<h2>Model and command</h2>{command}<div class="charts">{lists}</div>{_configurations(identity, folder)}'


def _facts(values: Mapping[str, Any]) -> str:
    """Names and values, but for those that are groups of their own."""
    items = "".join(
        f"<dt>{safe(name.replace('_', ' '))}</dt><dd>{number(value) if isinstance(value, float) else safe(value)}</dd>"
        for name, value in values.items()
        if value not in (None, "") and not isinstance(value, dict)
    )
    return f'<dl class="facts">{items}</dl>'


def _configurations(identity: Mapping[str, Any], folder: Path) -> str:
    """The groups of the identity, and else config.yaml of the run that the folder is, or is in."""
    texts = {
        name: OmegaConf.to_yaml(OmegaConf.create(values))
        for name, values in identity.items()
        if isinstance(values, dict) and name not in ("versions", "trained_on")
    }
    saved = next((path for path in (folder / "config.yaml", folder.parent / "config.yaml") if path.exists()), None)
    if not texts and saved:
        texts["config"] = saved.read_text(encoding="utf-8")
    return "".join(
        f"<details><summary>Configuration: {safe(name)}</summary><pre>{safe(text)}</pre></details>"
        for name, text in texts.items()
    )
