"""Check that a tag may become a release, and print its notes: python tools/release_notes.py v0.1.0.

The version must be that of src/kinbits/__init__.py and of CITATION.cff, and CHANGELOG.md must have a dated section for
it. The notes are that section.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the notes for the tag that is given."""
    if len(sys.argv) != 2 or not sys.argv[1].startswith("v"):
        sys.exit("give the tag, such as v0.1.0")
    wrong, notes = problems(sys.argv[1].removeprefix("v"), ROOT), section(sys.argv[1].removeprefix("v"), ROOT)
    if wrong:
        sys.exit("\n".join(wrong))
    print(notes)


def problems(version: str, root: Path) -> list[str]:
    """Return why the files of a folder are not those of a version, one sentence each."""
    found = [
        f"{name} has version {own}, and the tag {version}" for name, own in versions(root).items() if own != version
    ]
    if section(version, root) is None:
        found.append(f"CHANGELOG.md has no section '## [{version}] - DATE'")
    return found


def versions(root: Path) -> dict[str, str | None]:
    """Return the version that each file states."""
    stated = {"src/kinbits/__init__.py": r'^__version__ = "(.+)"$', "CITATION.cff": r'^version: "?([^"\n]+)"?$'}
    found = {name: re.search(pattern, (root / name).read_text(), re.MULTILINE) for name, pattern in stated.items()}
    return {name: match and match[1] for name, match in found.items()}


def section(version: str, root: Path) -> str | None:
    """Return the text below the heading of a version in CHANGELOG.md; None without such a heading."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)"
    match = re.search(heading, (root / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    return match and match[1].strip()


if __name__ == "__main__":
    main()
