"""Page of an ablation: one HTML file without references to anything outside its folder."""

import json
import math
import os
import platform
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from lewm.ablation.figures import save_curves, save_overview
from lewm.ablation.findings import NO_NOISE, findings, name, number, p_value
from lewm.ablation.table import Comparison, Table, save_csv
from lewm.config import WHERE_AND_HOW_FAST
from lewm.files import write_text
from lewm.report.markup import document, percent, rate_cell, safe
from lewm.report.markup import table as html_table
from lewm.report.media import data_uri

ABOUT_SUCCESS = (
    "Strict success leaves out pairs that are solved at the start. Below a rate is its 95% interval (Wilson, for the"
    " effective number of independent attempts of Rao and Scott; the attempts of a recorded episode are a cluster). The"
    " difference is that of the means over seeds; below it is its 95% interval (Welch). By episodes is the exact"
    " sign-flip test of each episode's sum over pairs and seeds, corrected (Holm) for the number of columns."
)


def save_report(table: Table, folder: Path, command: str) -> None:
    """Writes cells.csv, overview.png, curves.png and index.html, which holds both figures, into the folder.

    Args:
      table: the ablation; any of its cells may be absent or failed.
      folder: folder of the ablation.
      command: that was typed.
    """
    save_csv(table, folder / "cells.csv")
    save_overview(table, folder / "overview.png")
    save_curves(table, folder / "curves.png")
    write_text(folder / "index.html", page(table, folder, command))


def page(table: Table, folder: Path, command: str) -> str:
    """The whole page as text."""
    title = f"Ablation {folder.name}"
    states = Counter(cell.state for cell in table.cells)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    first, failed = next(iter(table.columns)), [cell for cell in table.cells if cell.state == "failed"]
    sections = [
        f"<h1>{safe(title)}</h1>",
        f"<p>{len(table.cells)} cells: {counts}. Every column is compared with <b>{safe(first)}</b>.</p>",
        _split(table),
        "".join(f'<p class="failed">{safe(each.name)} failed: {safe(each.error)}</p>' for each in failed),
        "<h2>Findings</h2>",
        "".join(f"<p>{safe(line)}</p>" for line in findings(table)),
        _figure(folder / "overview.png", "A row for each column, a point for each seed, a bar at their mean."),
        _success(table) if "strict_success" in table.metrics else "",
        "<h2>All metrics</h2>",
        _metrics(table),
        "<h2>Learning curves</h2>",
        _figure(folder / "curves.png", "Thin: seeds. Thick: their mean."),
        "<h2>Settings of the columns</h2>",
        _settings(table),
        "<h2>Cells</h2>",
        _cells(table, folder),
        "<h2>Command and machine</h2>",
        f"<pre>{safe(command)}</pre>",
        f"<p>{safe(_origin(table))}</p>",
    ]
    return document(title, sections)


def _split(table: Table) -> str:
    """Which pairs the cells were compared on, if any were."""
    splits = sorted(
        {cell.results["protocol"]["split"] for cell in table.cells if cell.results and "pairs" in cell.results}
    )
    if not splits:
        return ""
    note = ": the winner's final number is that of evaluation.split=test" if splits == ["validation"] else ""
    return f"<p>Success is that on pairs of the {safe(' and '.join(splits))} split{note}.</p>"


def _success(table: Table) -> str:
    comparisons: dict[str, Comparison] = {each.column: each for each in table.comparisons}
    headers = ("", "weight", "seeds", "strict success", "by seed", "at the end", "difference, points")
    rows = []
    for column, cells in table.columns.items():
        pooled, rates = table.pooled_success(column), table.values(column, "strict_success")
        weights = {str(cell.settings.get("regularizer.weight", "")) for cell in cells}
        row = [safe(column), safe(" ".join(sorted(weights))), str(len(rates))]
        if rates:
            at_end = float(np.mean(table.values(column, "strict_success_at_end")))
            by_seed = " ".join(f"{100 * rate:.1f}" for rate in rates)
            row += [rate_cell(pooled._asdict()), by_seed, percent(at_end)]
        row += [""] * (len(headers) - 1 - len(row))
        row += _tests(comparisons[column]) if column in comparisons else ["reference", "", ""]
        rows.append(row)
    shown = html_table([*headers, "only this / only first", "by episodes"], rows, ABOUT_SUCCESS)
    return f"<h2>Success</h2>{shown}"


def _tests(comparison: Comparison) -> list[str]:
    success = comparison.metrics["strict_success"]
    if math.isnan(success.difference):
        return ["", "", ""]
    difference = f"{100 * success.difference:+.1f}"
    if comparison.differs("strict_success"):
        difference = f'<b class="differs">{difference}</b>'
    known = not math.isnan(success.low)
    difference += f"<small>{f'{100 * success.low:+.1f} to {100 * success.high:+.1f}' if known else NO_NOISE}</small>"
    if not comparison.num_attempts:
        return [difference, "other pairs", ""]
    counts = f"{comparison.better} / {comparison.worse}<small>of {comparison.num_attempts}</small>"
    return [difference, counts, safe(p_value(comparison.p_episodes))]


def _metrics(table: Table) -> str:
    comparisons = {each.column: each for each in table.comparisons}
    rows = []
    for metric in table.metrics:
        row = [f'<span title="{safe(metric)}">{safe(name(metric))}</span>']
        for column in table.columns:
            values = table.values(column, metric)
            if not values:
                row.append("")
                continue
            text, spread = number(float(np.mean(values)), metric), ""
            if len(values) > 1:
                spread = f"<small>± {number(float(np.std(values, ddof=1)), metric)}</small>"
            if column in comparisons and comparisons[column].differs(metric):
                mark = "▲" if comparisons[column].metrics[metric].difference > 0 else "▼"
                text += f' <b class="differs">{mark}</b>'
            row.append(text + spread)
        rows.append(row)
    about = "Mean over seeds ± standard deviation. ▲ and ▼ differ from the first column beyond seed noise."
    return html_table(["", *table.columns], rows, about)


def _settings(table: Table) -> str:
    """The keys in which the columns differ, and the regularizer's weight always."""
    configs = {column: cells[0].settings for column, cells in table.columns.items()}
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    groups = {key.rpartition(".")[0] for key in keys}
    missing = object()
    shown = [
        key
        for key in keys
        if key == "regularizer.weight"
        or (
            key not in (*WHERE_AND_HOW_FAST, "seed", *groups)
            and len({repr(config.get(key, missing)) for config in configs.values()}) > 1
        )
    ]
    rows = [[safe(key), *(safe(config.get(key, "")) for config in configs.values())] for key in shown]
    return html_table(["", *table.columns], rows, "")


def _cells(table: Table, folder: Path) -> str:
    rows, classes = [], []
    for cell, row in zip(table.cells, table.rows, strict=True):
        where = os.path.relpath(cell.folder, folder)
        files = [file for file in ("results.json", "log.txt") if (cell.folder / file).exists()]
        links = [f'<a href="{safe(where)}/{file}">{file}</a>' for file in files]
        rate = "" if row.get("strict_success") is None else percent(row["strict_success"])
        steps = f"{row['steps']}/{cell.config.training.num_steps}"
        named = f'<a href="{safe(where)}/">{safe(cell.name)}</a>' if cell.folder.exists() else safe(cell.name)
        rows.append([named, row["status"], rate, steps, " ".join(links), safe(cell.error)])
        classes.append(row["status"])
    return html_table(["", "state", "strict success", "steps", "files", "error"], rows, "", classes, text=5)


def _origin(table: Table) -> str:
    """Which code made the cells, and the machine that this page was written on."""
    processes = [
        json.loads((cell.folder / "process.json").read_text(encoding="utf-8"))
        for cell in table.cells
        if (cell.folder / "process.json").exists()
    ]
    commits = sorted({process["commit"] for process in processes})
    versions = sorted({f"{key} {value}" for process in processes for key, value in process["versions"].items()})
    devices = sorted({cell.results["identity"]["device"] for cell in table.cells if cell.results})
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    code = f"Commit {', '.join(commits) or 'unknown'}"
    if len(commits) > 1:
        code += " (cells of several commits: what differs may be the code)"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {gpu}"
    return (
        f"{code}. {', '.join(versions)}. Trained on {', '.join(devices) or 'no device yet'}. This machine: {machine}."
    )


def _figure(path: Path, caption: str) -> str:
    image = f'<img alt="{caption}" src="{data_uri(path.read_bytes(), "image/png")}">'
    scrolling = f'<div class="scroll" tabindex="0">{image}</div>'
    return f'<figure class="wide">{scrolling}<figcaption>{caption}</figcaption></figure>'
