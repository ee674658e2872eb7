"""Move equal files and copies of a folder of photos aside, and keep the best of each; nothing is deleted.

    python examples/duplicate_cleaner.py photos aside             # lists what would be moved
    python examples/duplicate_cleaner.py photos aside --move      # moves it
    python examples/duplicate_cleaner.py photos aside --back      # puts it back

Without --copies only equal files and equal pixels count, which needs no model.
"""

import argparse
import json
from pathlib import Path

import kinbits

NOTES = "moved.json"


def main() -> None:
    """Find duplicates and move them, or put them back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="the folder to clean")
    parser.add_argument("aside", type=Path, help="where duplicates go")
    parser.add_argument("--copies", action="store_true", help="look for resized and edited copies too")
    parser.add_argument("--move", action="store_true", help="move them")
    parser.add_argument("--back", action="store_true", help="put all of them back")
    given = parser.parse_args()
    if given.back:
        put_back(given.photos, given.aside)
        return

    model = {} if given.copies else {"model": None}
    report = kinbits.find_duplicates(given.photos, **model)
    spare = spare_files(report)
    for name, kept in spare.items():
        print(f"{name}  is a duplicate of  {kept}")
    print(f"{len(spare)} of {report.items} images, {report.spare_bytes / 1e6:.1f} MB")
    if given.move:
        move(given.photos, given.aside, spare)


def spare_files(report: kinbits.DedupeReport) -> dict[str, str]:
    """Return each file that may go with the one that is kept; what is kept for one group is never moved for another."""
    spare: dict[str, str] = {}
    for group in report.of_kind("bytes", "pixels", "copies"):
        kept = group.representative.path
        spare |= {item.path: kept for item in group.others if kept not in spare and item.path not in spare.values()}
    return spare


def move(photos: Path, aside: Path, spare: dict[str, str]) -> None:
    """Move files aside below their own paths, and note which: before, so that an interruption can be undone."""
    aside.mkdir(exist_ok=True)
    noted = json.loads((aside / NOTES).read_text()) if (aside / NOTES).exists() else []
    (aside / NOTES).write_text(json.dumps([*noted, *spare]))
    for name in spare:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).rename(aside / name)
    print(f"moved to {aside}: {len(spare)}")


def put_back(photos: Path, aside: Path) -> None:
    """Move all noted files back to where they were."""
    names = json.loads((aside / NOTES).read_text())
    left = [name for name in names if (photos / name).exists()]  # another file has taken its place
    for name in names:
        if name not in left and (aside / name).exists():
            (aside / name).rename(photos / name)
    (aside / NOTES).write_text(json.dumps(left))
    print(f"put back: {len(names) - len(left)}" + (f"; {len(left)} stay, as their place is taken" if left else ""))


if __name__ == "__main__":
    main()
