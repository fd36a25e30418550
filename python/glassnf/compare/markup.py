"""Pieces of HTML, in which everything that comes from outside is escaped."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["Cell", "cell", "escape", "flat", "items", "prose", "swatch", "table"]

_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_PRINTED: Final = {
    "<U>": "\u27e8U\u27e9",
    "C_v": "C<sub>v</sub>",
    "k_B": "k<sub>B</sub>",
    "rho_t": "\u03c1<sub>t</sub>",
    "R-hat": "R\u0302",
    "epsilon": "\u03b5",
}
_BOUND: Final = re.compile(r"(&[lg]t;) (?=\d)")
_LONGEST: Final = 40

Cell = tuple[str, str]
"""Markup of a cell, and its class."""


def escape(text: object) -> str:
    """Return a text as markup."""
    return html.escape(str(text))


def prose(text: object) -> str:
    """Return a sentence as markup, with the symbols of physics as they are printed."""
    markup = escape(text)
    for plain, symbol in _PRINTED.items():
        markup = markup.replace(escape(plain), symbol)
    return _BOUND.sub(r"\1&nbsp;", markup)


def cell(text: object, kind: str = "") -> Cell:
    """Return a cell of a table with a text; `kind` is ``"text"`` (to the left), ``"long"`` (wrapped), or a class."""
    return escape(text), kind


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table that scrolls sideways where it is too wide; the first cell of each row is its heading.

    Parameters
    ----------
    caption
        Text above it.
    headings
        Texts of the columns.
    rows
        Cells, as many in each row as there are headings.
    """
    kinds = [kind if kind in ("text", "long") else "" for _, kind in rows[0]] if rows else [""] * len(headings)
    head = "".join(
        f'<th scope="col"{_class("text" if kind or place == 0 else "")}>{prose(heading)}</th>'
        for place, (heading, kind) in enumerate(zip(headings, kinds, strict=True))
    )
    lines = []
    for row in rows:
        first, *others = row
        cells = "".join(f"<td{_class(kind)}>{markup}</td>" for markup, kind in others)
        lines.append(f'<tr><th scope="row" class="text">{first[0]}</th>{cells}</tr>')
    body = "\n".join(lines)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table>\n'
        f"<caption>{prose(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _class(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""


def items(texts: Sequence[str]) -> str:
    """Return texts as a list."""
    return "<ul>\n" + "\n".join(f"<li>{prose(text)}</li>" for text in texts) + "\n</ul>"


def swatch(algorithm: Mapping[str, Any]) -> Cell:
    """Return the name of an algorithm as a cell, with its colour where that is one."""
    colour, label = str(algorithm["colour"]), escape(algorithm["label"])
    if not _COLOUR.fullmatch(colour):
        return label, "text"
    return f'<span class="swatch" style="background: {colour}"></span>{label}', "text"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as pairs of a dotted name and a text.

    Parameters
    ----------
    values
        In terms of JSON.
    prefix
        What every name begins with.
    """
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += flat(value, f"{name}.") if value else [(name, "none")]
        else:
            found.append((name, _text(value)))
    return found


def _text(value: object) -> str:
    """Return a value as a person would write it; of long lists the beginning and the end."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        if len(value) > _LONGEST:
            return f"{', '.join(map(_text, value[:3]))}, ..., {_text(value[-1])} ({len(value)} values)"
        return ", ".join(map(_text, value)) if value else "none"
    return str(value) if isinstance(value, (str, int)) else json.dumps(value)
