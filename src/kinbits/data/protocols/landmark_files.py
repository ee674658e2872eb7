"""Readers of the ground-truth files of Revisited Oxford and Paris, and of Google Landmarks v2."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.data.sources.files import read_text
from kinbits.data.sources.list_files import read_lines
from kinbits.data.sources.mat import read_mat, texts, variable
from kinbits.data.sources.safe_pickle import read_pickle
from kinbits.errors import DataError


@dataclass(frozen=True)
class Landmarks:
    """Contents of ``gnd_roxford5k`` or ``gnd_rparis6k``.

    Attributes:
        queries: Names of the q query photos, without extension.
        database: Names of the database photos.
        boxes: float64 ``(q, 4)``: left, top, right, bottom of the rectangle of the photo that is the query.
        easy: For each query, int64 rows of the database that are easy.
        hard: For each query, int64 rows of the database that are hard.
        junk: For each query, int64 rows of the database that are junk.
    """

    queries: tuple[str, ...]
    database: tuple[str, ...]
    boxes: np.ndarray
    easy: tuple[np.ndarray, ...]
    hard: tuple[np.ndarray, ...]
    junk: tuple[np.ndarray, ...]


def read_revisited(path: Path) -> Landmarks:
    """Read the ground truth of Revisited Oxford or Paris from ``.pkl`` (no code is run), ``.mat`` or ``.json``.

    Row numbers start at 1 in the ``.mat`` file, and at 0 in the others.

    Raises:
        DataError: If the file is damaged or incomplete.
    """
    readers = {".pkl": read_pickle, ".mat": _from_mat, ".json": _json}
    try:
        return _landmarks(readers[path.suffix](path), path)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: no usable easy, hard, junk and bbx ({error}); get the original file") from None


def read_landmarks(path: Path) -> tuple[list[str], list[int]]:
    """Read ``train_clean.csv`` with lines ``landmark_id,image image ...``.

    Returns:
        The names of the images, and the landmark of each.

    Raises:
        DataError: If the header is wrong, or a landmark is not an integer.
    """
    images: list[str] = []
    landmarks: list[int] = []
    for number, (landmark, listed) in enumerate(_pairs(path, "landmark_id"), 2):
        if not landmark.isdigit():
            raise DataError(f"{path}: line {number} starts with '{landmark}', not with the number of a landmark")
        names = listed.split()
        images += names
        landmarks += [int(landmark)] * len(names)
    return images, landmarks


def read_ids(path: Path) -> list[str]:
    """Read the first column of a CSV file with the header ``id``.

    Raises:
        DataError: If the header is wrong.
    """
    return [id for id, _ in _pairs(path, "id")]


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read the relevant index images of each query, without the queries that are not scored.

    Args:
        path: ``retrieval_solution_v2.1.csv`` (``id,images,usage``; rows with usage ``Ignored`` are left out), or JSON
            of the form ``{"query": ["image", ...]}``.

    Returns:
        Query -> relevant images.

    Raises:
        DataError: If the header is wrong, or no query has a relevant image.
    """
    if path.suffix == ".json":
        found = {str(query): [str(image) for image in images] for query, images in _json(path).items()}
    else:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
        fields = {name.lower(): name for name in rows.fieldnames or ()}
        if not {"id", "images", "usage"} <= set(fields):
            raise DataError(f"{path}: the header is {rows.fieldnames}, not id,images,usage; get the original file")
        scored = [row for row in rows if row[fields["usage"]] != "Ignored"]
        found = {row[fields["id"]]: row[fields["images"]].split() for row in scored}
    if not any(found.values()):
        raise DataError(f"{path}: no query has an answer; get the original file")
    return found


def _pairs(path: Path, first: str) -> list[tuple[str, str]]:
    """Split lines at the first comma; the fields are too long for the csv module."""
    lines = read_lines(path)
    if lines[0].split(",")[0].strip('"').lower() != first:
        raise DataError(f"{path}: the header is '{lines[0][:60]}', which does not start with {first}")
    cut = (line.partition(",") for line in lines[1:])
    return [(head.strip('"'), tail.strip('"')) for head, _, tail in cut]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); get the file again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds a JSON {type(found).__name__}, not an object; get the file again")
    return found


def _from_mat(path: Path) -> dict[str, Any]:
    mat = read_mat(path)
    queries = variable(mat, ("gnd",), path).reshape(-1)
    if queries.dtype.names is None:
        raise DataError(f"{path}: 'gnd' is not a structure; get the original file")
    gnd = [{name: _numbers(one[name]) - (name != "bbx") for name in queries.dtype.names} for one in queries]
    return {"gnd": gnd, **{key: texts(variable(mat, (key,), path)) for key in ("imlist", "qimlist")}}


def _numbers(cell: Any) -> np.ndarray:
    return np.asarray(cell, np.float64).reshape(-1)


def _landmarks(content: Any, path: Path) -> Landmarks:
    missing = [key for key in ("imlist", "qimlist", "gnd") if not isinstance(content, Mapping) or key not in content]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)} in it; get the file of Revisited Oxford and Paris")
    queries, gnd = content["qimlist"], content["gnd"]
    if len(gnd) != len(queries):
        raise DataError(f"{path}: {len(gnd)} ground truths for {len(queries)} queries; get the original file")
    boxes = np.array([_numbers(one["bbx"]) for one in gnd]).reshape(len(gnd), 4)
    lists = (tuple(_rows(one[grade]) for one in gnd) for grade in ("easy", "hard", "junk"))
    return Landmarks(_names(queries), _names(content["imlist"]), boxes, *lists)


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _rows(values: Any) -> np.ndarray:
    return np.asarray(values).reshape(-1).astype(np.int64)
