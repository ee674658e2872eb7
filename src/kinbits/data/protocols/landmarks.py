"""Protocols of landmark retrieval with ground-truth lists: Revisited Oxford and Paris, Google Landmarks v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.ground_truth import GroundTruth
from kinbits.data.items import CroppedItems, PathItems
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.definition import LISTED, Protocol
from kinbits.data.protocols.landmark_files import Landmarks, read_answers, read_ids, read_landmarks, read_revisited
from kinbits.data.protocols.registry import Builder, register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles, check_images
from kinbits.data.splits import Draw, SplitRows
from kinbits.errors import DataError

GRADED = f"{LISTED}, graded easy and hard; junk is deleted from the ranking"
CLEAN, INDEX = "train_clean.csv | train/train_clean.csv | metadata/train_clean.csv", "index.csv | metadata/index.csv"
SOLUTION = (
    "retrieval_solution_v2.1.csv | ground_truth/retrieval_solution_v2.1.csv | metadata/retrieval_solution_v2.1.csv | "
    "retrieval_solution.json"
)
GLDV2 = RequiredFiles(
    ("gldv2", "google-landmarks-v2"),
    (CLEAN, INDEX, SOLUTION, "train", "index", "test"),
    "the files of github.com/cvdfoundation/google-landmark, images as train/a/b/c/abc....jpg",
)


def _revisited(name: str, title: str, database: int) -> Builder:
    """Register the protocol of Revisited Oxford or Paris; only the files differ."""
    required_files = RequiredFiles(
        (name,),
        (f"gnd_{name}.pkl | gnd_{name}.mat | gnd_{name}.json", "jpg"),
        "gnd_*.pkl of github.com/filipradenovic/revisitop, read without running what is in it, and the images as "
        "jpg/<name>.jpg",
    )
    definition = Protocol(
        name,
        1,
        f"Revisited {title}: 70 queries, each a rectangle of a photo; measures models that have learned on other data",
        train=0,
        query=70,
        database=database,
        relevance=GRADED,
        metrics=("map-revisited", "precision@1", "precision@5", "precision@10"),
        source="Radenovic et al. (CVPR 2018); published models learn on Google Landmarks",
        required_files=required_files,
    )

    @register_protocol(definition)
    def build(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
        folder = required_files.find(data_dir)
        return _rectangles(read_revisited(required_files.file(folder, required_files.files[0])), folder / "jpg", name)

    return build


_revisited("roxford5k", "Oxford (4,993 photos)", 4_993)
_revisited("rparis6k", "Paris (6,322 photos)", 6_322)


@register_protocol(
    Protocol(
        "gldv2",
        1,
        "Google Landmarks v2; query the 1,129 test images with an answer, database the index part, train the "
        "cleaned train "
        "part of 81,313 landmarks",
        train=1_580_470,
        query=1_129,
        database=761_757,
        relevance=LISTED,
        metrics=("map@100", "precision@10", "precision@100"),
        classes=81_313,
        legacy="landmarks",
        source="retrieval task of Weyand et al. (CVPR 2020), public and private queries; OrthoHash reports it with 1.2 "
        "million train images",
        required_files=GLDV2,
    )
)
def _gldv2(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    folder = GLDV2.find(data_dir)
    clean, index, solution = (GLDV2.file(folder, wanted) for wanted in GLDV2.files[:3])
    learned, landmarks = read_landmarks(clean)
    searched, answers = read_ids(index), read_answers(solution)
    ids = [*learned, *answers, *searched]
    parts = ["train"] * len(learned) + ["test"] * len(answers) + ["index"] * len(searched)
    labels, space = _numbered(landmarks, len(ids))
    # str instead of Path: creating two million Path objects takes two minutes
    paths = [f"{folder}/{part}/{id[:1]}/{id[1:2]}/{id[2:3]}/{id}.jpg" for part, id in zip(parts, ids, strict=True)]
    check_images(paths, "gldv2")
    data = Dataset(PathItems(paths), np.array(ids, np.str_), labels, space, name="gldv2")
    train, query, database = np.split(np.arange(len(ids)), np.cumsum([len(learned), len(answers)]))
    truth = GroundTruth.from_rows(_places(list(answers.values()), searched, solution), database=len(searched))
    return data, SplitRows(Draw(data.ids, seed).shuffled(train), query, database, truth)


def _rectangles(found: Landmarks, images: Path, name: str) -> tuple[Dataset, SplitRows]:
    ids = [*found.queries, *found.database]
    paths = [images / f"{id}.jpg" for id in ids]
    check_images(paths, name)
    boxes = np.concatenate([found.boxes, np.full((len(found.database), 4), np.nan)])
    data = Dataset(CroppedItems(paths, boxes), np.array(ids, np.str_), name=name)
    query, database = np.split(np.arange(len(ids)), [len(found.queries)])
    truth = GroundTruth.from_rows(found.easy, found.hard, found.junk, database=len(found.database))
    return data, SplitRows(query[:0], query, database, truth)


def _numbered(landmarks: Sequence[int], count: int) -> tuple[np.ndarray, LabelSpace]:
    """Return class numbers of the landmarks of the train rows, which come first; all other rows are unlabelled."""
    names, labels = np.unique(np.asarray(landmarks, np.int64), return_inverse=True)
    padded = np.concatenate([labels.reshape(-1), np.full(count - len(labels), -1)])
    return padded.astype(np.int64), LabelSpace(tuple(map(str, names.tolist())))


def _places(answers: Sequence[Sequence[str]], database: Sequence[str], source: Path) -> list[np.ndarray]:
    rows: Mapping[str, int] = {id: row for row, id in enumerate(database)}
    unknown = [id for answer in answers for id in answer if id not in rows]
    if unknown:
        raise DataError(
            f"{source}: {len(unknown):,} answers are not in the index, e.g. {unknown[0]}; get both files anew"
        )
    return [np.array([rows[id] for id in answer], np.int64) for answer in answers]
