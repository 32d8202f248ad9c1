"""Films of episodes on a page, failures first, and what the model imagined beside what came true."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lewm.report.figures import Traces
from lewm.report.markup import number
from lewm.report.media import MAX_BYTES, Film, as_png, data_uri, find_films, read_film, reduced


def film_section(results: Mapping[str, Any], folder: Path) -> str:
    """The films in <folder>/videos, as many as a page has room for."""
    pairs, cards, room = results["pairs"], [], MAX_BYTES // 2
    paths = find_films(folder / "videos", [pair["reached"] for pair in pairs])
    for film in map(read_film, paths):
        room -= len(film.mp4) + len(film.poster)
        if room < 0:
            break
        cards.append(_card(film, pairs[film.pair]))
    if not cards:
        return ""
    rest = f" {len(paths) - len(cards)} more are in videos/." if len(cards) < len(paths) else ""
    return (
        "<h2>Episodes, failures first</h2>"
        f'<p class="soft">{len(cards)} of {len(pairs)} pairs; each shows its last frame until it is played.{rest}'
        f' <button class="play-all" type="button" hidden>Play all</button></p><div class="films">{"".join(cards)}</div>'
    )


def _card(film: Film, pair: Mapping[str, Any]) -> str:
    outcome, last = "reached" if film.reached else "failed", film.num_frames - 1
    said = f"Pair {film.pair}, {outcome}: start, achieved and goal side by side"
    poster, mp4 = data_uri(film.poster, "image/png"), data_uri(film.mp4, "video/mp4")
    return (
        f'<figure class="{outcome}"><video controls loop muted playsinline preload="none" aria-label="{said}"'
        f' width="{film.width}" height="{film.height}" poster="{poster}" src="{mp4}"></video>'
        '<div class="parts"><span>start</span><span>achieved</span><span>goal</span></div><div class="player" hidden>'
        f'<button type="button" aria-label="Play or pause pair {film.pair}">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="Env step of pair {film.pair}">'
        f"<output>step {last}</output></div>"
        f"<figcaption>pair {film.pair}: <b>{outcome}</b>{_how(pair)}</figcaption></figure>"
    )


def _how(pair: Mapping[str, Any]) -> str:
    """When a pair was reached, and how it ended, as far as the results know."""
    when = f" at env step {pair['first_success']}" if pair.get("first_success") is not None else ""
    left = "" if pair["at_end"] or not pair["reached"] else ", left again"
    far = f"; final distance {number(pair['final_distance'], 3)}" if "final_distance" in pair else ""
    return when + left + far


def imagination_section(traces: Traces) -> str:
    """What the model imagined for the first plan of some pairs, beside what came true."""
    if not traces.get("imagined_frames", np.zeros(0)).size:
        return ""
    real, imagined = traces["real_frames"], traces["imagined_frames"]
    names = traces.get("film_pairs", np.arange(len(imagined)))
    room, tables = MAX_BYTES // 2, []
    for name, *films in zip(names, real, imagined, strict=True):
        pictures = [[as_png(frame) for frame in reduced(film)] for film in films]
        room -= sum(len(picture) for row in pictures for picture in row)
        if room < 0:
            break
        rows = []
        for kind, row in zip(("real", "imagined"), pictures, strict=True):
            images = "".join(
                f'<td><img alt="{kind}, model step {step}" src="{data_uri(picture, "image/png")}"></td>'
                for step, picture in enumerate(row, 1)
            )
            rows.append(f'<tr><th scope="row">{kind}</th>{images}</tr>')
        steps = "".join(f'<th scope="col">{step}</th>' for step in range(1, len(pictures[0]) + 1))
        head = f'<thead><tr><th scope="col">step</th>{steps}</tr></thead>'
        shown = f'<div class="scroll" tabindex="0"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
        tables.append(f"<section><h3>pair {name}</h3>{shown}</section>")
    return (
        "<h2>Imagined beside real</h2>"
        '<p class="soft">The first plan of a pair, executed to its end without another look: what it came to after'
        " each model step, and below it what the model had imagined, shown as the recorded frame whose embedding is"
        " nearest.</p>"
        f'<div class="imagination">{"".join(tables)}</div>'
    )
