"""Pages from templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinbits._util.packages import require


def render(template: Path, **values: Any) -> str:
    """Fill a jinja2 template; everything but `markupsafe.Markup` is escaped.

    Args:
        template: The file; it may include and import others of its folder.
        values: What the template names.

    Raises:
        PlatformError: If jinja2 is not installed.
    """
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return str(environment.get_template(template.name).render(values))
