"""HTML pages and other text from jinja2 templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinbits._util.packages import require


def render(template: Path, include_from: Sequence[Path] = (), **values: Any) -> str:
    """Return a jinja2 template filled with values; all values but `markupsafe.Markup` are escaped.

    Args:
        template: The template file; it can include and import other files of its folder.
        include_from: Further folders of such files.
        values: Values of the variables in the template.

    Raises:
        PlatformError: If jinja2 is not installed.
    """
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, *include_from]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return str(environment.get_template(template.name).render(values))
