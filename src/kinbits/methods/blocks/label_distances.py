"""Semantic distances of classes, from a hierarchy or from embeddings of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinbits.data import LabelSpace
from kinbits.errors import DataError


def label_distances(space: LabelSpace | None, embeddings: str = "") -> np.ndarray:
    """Return how far every two classes are apart, float64 ``(C, C)``, symmetric, with a diagonal of 0.

    Args:
        space: The labels; their hierarchy gives 1 - height(lcs) / height(root), see `LabelSpace.class_similarity`.
        embeddings: Path of a .npy file, float ``(C, e)``, used instead: 1 - cosine of two rows. Empty: no file.

    Raises:
        DataError: There is neither a hierarchy nor a file, a class has no place in the one or no row in the other, or
            all distances are 0.
    """
    if space is None:
        raise DataError("the data has no labels; semantic distances are those of labels")
    if embeddings:
        return _from_embeddings(Path(embeddings), space)
    if space.parents is None:
        raise DataError(
            "these labels have no hierarchy; give coarser classes (the columns coarse_label or coarse_of_label), or "
            "embeddings=FILE.npy with one row per class"
        )
    loose = [space.names[c] for c in range(space.classes) if space.parents[c] == -1]
    if loose:
        raise DataError(
            f"the hierarchy misses {len(loose)} of {space.classes} classes, e.g. {', '.join(map(repr, loose[:3]))}; "
            f"name a coarser class for each, or give embeddings=FILE.npy"
        )
    return 1.0 - space.class_similarity()


def _from_embeddings(path: Path, space: LabelSpace) -> np.ndarray:
    try:
        rows = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read embeddings {path}: {error.strerror or error}; give a .npy file") from None
    except ValueError as error:
        raise DataError(f"{path} is no .npy file of numbers ({error}); write it with numpy.save") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or rows.ndim != 2 or len(rows) != space.classes:
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else "an archive"
        raise DataError(f"embeddings {path} are {found}; give numbers ({space.classes}, e), one row per class")
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise DataError(
            f"embeddings {path}: the row of '{space.names[bad]}' is zero or not finite; give it a direction"
        )
    apart = np.clip(1.0 - (rows / norms) @ (rows / norms).T, 0.0, None)
    np.fill_diagonal(apart, 0.0)
    if apart.max() < 1e-9:
        raise DataError(f"embeddings {path}: all rows point the same way, so no two classes differ")
    return np.asarray(apart)
