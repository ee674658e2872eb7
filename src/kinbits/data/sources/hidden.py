"""Names of files and folders that systems and programs make for themselves, and that hold no images of a person."""

from __future__ import annotations

# in lower case: the servers and drives that they come from ignore case
_SYSTEM = frozenset(
    {
        "#recycle",  # Synology: bin
        "#snapshot",  # Synology: snapshots
        "$recycle.bin",  # Windows: bin
        "@eadir",  # Synology: thumbnails of every image
        "@recycle",  # QNAP: bin
        "@tmp",
        "__macosx",  # resource forks of a ZIP archive of macOS
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
_KNOWN = frozenset({".DS_Store", ".Spotlight-V100", ".Trashes", ".fseventsd", ".git", ".thumbnails"})
_APPLE_DOUBLE, _DOT = "._*", ".*"


def hidden_kind(name: str) -> str | None:
    """Return the kind of a hidden or system name for a report; None for a visible one.

    Args:
        name: Name of a file or folder, without its path.

    Example:
        >>> hidden_kind("._a.jpg"), hidden_kind(".git"), hidden_kind("Thumbs.db"), hidden_kind("cat.jpg")
        ('._*', '.git', 'Thumbs.db', None)
    """
    if name.startswith("._"):
        return _APPLE_DOUBLE
    if name.startswith("."):
        return name if name in _KNOWN else _DOT
    return name if name.lower() in _SYSTEM else None
