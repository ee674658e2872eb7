"""Writing of plots to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinbits._util.files import file_aside, full_path
from kinbits.errors import UsageError, platform_error


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a matplotlib figure to a file, atomically.

    Args:
        figure: A `matplotlib.figure.Figure` with a canvas.
        path: The file; its extension sets the format.

    Returns:
        The absolute path.

    Raises:
        UsageError: If the extension is not a known format.
        PlatformError: If the file cannot be written.
    """
    path = full_path(path)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(f"'{path.name}' names no format of a plot; end it in .png, .svg or .pdf")
    try:
        with file_aside(path) as aside:
            figure.savefig(aside)
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None
    return path
