"""Parts of a page that reports of other rooms share: its frame with the style, and a query with its hits."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from kinbits._util import render
from kinbits.evaluation.report.examples import Example

_FRAME = Path(__file__).with_name("frame.html.j2")
_HITS = Path(__file__).with_name("hits.html.j2")


def html_page(title: str, body: Markup) -> str:
    """Return a complete HTML page in the style of reports, which needs no other file and no network.

    Args:
        title: Title of the page.
        body: Its contents, escaped.
    """
    return render(_FRAME, title=title, body=body)


def hits_html(query: Example) -> Markup:
    """Return a query and its nearest items as HTML, for a page of `html_page`."""
    return Markup(render(_HITS, query=query))  # the template escapes
