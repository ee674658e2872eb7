"""Captions of a folder of images: ``captions.csv``, ``captions.tsv`` or ``captions.txt``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from kinbits.data.dataset import Skipped
from kinbits.data.sources.columns import IMAGE_NAMES, TEXT_NAMES, Options, find_column
from kinbits.data.sources.csv import require_distinct
from kinbits.data.sources.files import read_text
from kinbits.data.sources.walk import CAPTION_FILES
from kinbits.errors import DataError


def read_captions(folder: Path, names: Sequence[str], options: Options) -> tuple[tuple[str, ...] | None, list[Skipped]]:
    """Return one text per image, and the captions without an image; several captions of one image are joined."""
    path = next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)
    if path is None:
        return None, []
    by_base: dict[str, list[str]] = {}
    for name in names:
        by_base.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    texts: dict[str, list[str]] = {name: [] for name in names}
    orphans: list[Skipped] = []
    for given, text in _caption_rows(path, options):
        same_name = by_base.get(given, [])
        match = given if given in texts else same_name[0] if len(same_name) == 1 else None
        if match is None:
            orphans.append(Skipped(given, f"{path.name} names it, but no usable image or several have this name"))
        else:
            texts[match].append(text)
    if not any(texts.values()):
        raise DataError(
            f"{path}: no line names an image of the folder; first name: '{orphans[0].id}'"
            if orphans
            else f"{path}: the file holds no captions; write 'path<TAB>text' lines or delete it"
        )
    return tuple(" ".join(texts[name]) for name in names), orphans


def _caption_rows(path: Path, options: Options) -> list[tuple[str, str]]:
    text = read_text(path)
    if path.suffix in (".csv", ".tsv") or re.match(r"(image|file_?name|path)\s*,", text, re.I):
        return _caption_table(path, text, options)
    lines = [line for line in text.splitlines() if line.strip()]
    rows = (line.split("\t", 1) if "\t" in line else line.split(None, 1) for line in lines)
    # Flickr8k writes 'name.jpg#0<TAB>caption' for the first of five captions.
    return [(re.sub(r"#\d+$", "", row[0]), row[1].strip() if len(row) > 1 else "") for row in rows]


def _caption_table(path: Path, text: str, options: Options) -> list[tuple[str, str]]:
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    try:
        columns, rows = [name for name in reader.fieldnames or () if name], list(reader)
    except csv.Error as error:
        raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 with a header line") from None
    require_distinct(columns, str(path))
    key, caption = find_column(None, IMAGE_NAMES, columns), find_column(options.text_column, TEXT_NAMES, columns)
    if key is None or caption is None:
        raise DataError(f"{path}: needs a header with a file column (file_name) and a text column; has {columns}")
    return [(row[key] or "", (row[caption] or "").strip()) for row in rows]
