"""Markup of pages: the document around them, tables, numbers and escaped text as HTML."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("report.css")
NONE = "\N{EN DASH}"


def document(title: str, sections: Iterable[str], script: str = "") -> str:
    """A whole page that needs nothing outside itself.

    Args:
      title: text for the browser's tab.
      sections: HTML, one below the other; empty ones are left out.
      script: JavaScript at the end of the page.
    """
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{safe(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>"
    )
    end = f"<script>\n{script}</script>" if script else ""
    return f"{head}\n<body><main>\n" + "\n".join(filter(None, sections)) + f"\n</main>{end}</body></html>\n"


def safe(value: Any) -> str:
    """Any value as text that means nothing to a browser."""
    return html.escape(str(value))


def percent(share: float) -> str:
    """0.973 -> 97.3%; a dash for nan, the rate of no trials."""
    return NONE if math.isnan(share) else f"{share:.1%}"


def interval(rate: Mapping[str, float]) -> str:
    """The 95% interval of a rate: 89.2 to 96.2%."""
    return NONE if math.isnan(rate["low"]) else f"{100 * rate['low']:.1f} to {percent(rate['high'])}"


def number(value: float | None, digits: int = 4) -> str:
    """Whole numbers as they are, others with so many digits; a dash for none."""
    if value is None or math.isnan(value):
        return NONE
    return safe(value) if isinstance(value, int) else f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def rate_cell(rate: Mapping[str, float] | None) -> str:
    """A rate with its counts, above its interval."""
    if rate is None:
        return ""
    return f"{percent(rate['rate'])} ({rate['successes']}/{rate['trials']})<small>{interval(rate)}</small>"


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str, classes: Sequence[str] = (), text: int = 0
) -> str:
    """A table that scrolls sideways where the screen is too narrow.

    Args:
      headers: texts of the columns' headers.
      rows: cells that are HTML already; the first names its row.
      caption: HTML above it, or "".
      classes: CSS classes of the rows, or none.
      text: the column beside the first that holds words instead of numbers, if there is one.
    """
    kinds = ["", *(' class="text"' if j == text else "" for j in range(1, len(headers)))]
    head = "".join(f'<th scope="col"{kind}>{safe(each)}</th>' for kind, each in zip(kinds, headers, strict=True))
    lines = []
    for i, (first, *others) in enumerate(rows):
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], others, strict=True))
        kind = f' class="{classes[i]}"' if classes else ""
        lines.append(f'<tr{kind}><th scope="row">{first}</th>{cells}</tr>')
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    above = f'<p class="soft">{caption}</p>' if caption else ""
    return f'{above}<div class="scroll" tabindex="0"><table>{body}</table></div>'
