"""Figures as markup inside a page."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Final

from ..compare.inputs import of_comparison
from .style import GREY, OKABE_ITO, PAPER, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

_IDENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_INKS: Final = {
    OKABE_ITO["black"]: "currentColor",
    GREY: "var(--figure-grey, #5f5f5f)",
    PAPER: "var(--figure-paper, #ffffff)",
}


@of_comparison
def inline_svg(figure: Figure, ident: str, title: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    The background is clear. Black is the colour of the text around it, and grey and white are the custom properties
    ``--figure-grey`` and ``--figure-paper``, so that a page may have a dark scheme. The element has the figure's shape and
    fills the width that it is given. It holds no style sheet and no ids but its own: any number of figures can share a page.

    Parameters
    ----------
    figure
        The figure.
    ident
        Prefix of the ids in it, a different one for each figure of a page: letters, digits, ``-`` and ``_``.
    title
        What it shows, in words, for those who cannot see it.

    Raises
    ------
    ValueError
        If `ident` is not of this form.
    """
    if not _IDENT.fullmatch(ident):
        raise ValueError(f"ident: expected a letter, then letters, digits, - and _, got {ident!r}")
    stream = io.StringIO()
    with styled():
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    view = re.search(r'viewBox="([^"]*)"', text)
    assert view is not None
    text = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    for pattern in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>"):
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    text = _unique_ids(text.replace("xlink:href=", "href="), ident)
    for colour, variable in _INKS.items():
        text = re.sub(re.escape(colour) + r"\b", variable, text, flags=re.IGNORECASE)
    text = re.sub(r"\n\s*", "\n", text).strip()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view[1]}" role="img" aria-labelledby="{ident}-title" '
        f'fill="currentColor" style="stroke-linejoin: round; stroke-linecap: butt">\n'
        f'<title id="{ident}-title">{html.escape(title)}</title>\n{text}\n</svg>'
    )


def _unique_ids(text: str, ident: str) -> str:
    """Rename the ids that something refers to, and drop the others."""
    used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    names = {old: f"{ident}-{place}" for place, old in enumerate(sorted(used))}
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", text)
    text = re.sub(r'href="#([^"]+)"', lambda found: f'href="#{names[found[1]]}"', text)
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{names[found[1]]})", text)
