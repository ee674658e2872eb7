"""How well one image lies on another: local features are matched, a map of the plane is fitted, and pixels compared.

Codes name pairs that may be copies. Here each of them is looked at. Of an edited copy, nearly all that is recognised
lies where one map of the whole image puts it, and the grey values agree everywhere; of another shot of the same scene
or another product of the same form, only some does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VERSION = "2"
"""Changes when similarities of the same pair do."""
SIDE = 256  # pixels of the longer side in which features are found
COARSE = 2  # pixels are compared at this part of it
FEATURES = 256
_CONTRAST = 0.02  # of a feature; half the usual, for plain images
_RATIO = 0.85  # largest distance to the nearest descriptor, as a share of that to the second nearest (Lowe 2004, 7.1)
_TURNED = 4.0  # pixels: error of a match that supports a rotation, a scale and a shift
_EXACT = 1.5  # pixels: error of a match in a copy
_FEWEST = 4  # matches
_AFFINE = 8  # matches from which shear is fitted as well
_SHEAR = 1.8  # largest ratio of the scales in two directions
_SCALES = 0.2, 5.0
_STRETCHED = 0.05  # logarithm of a ratio of proportions that a resize may have changed
_WINDOW, _SIGMA = 7, 0.75  # pixels, of the coarse image
_PLAIN, _STRONG = (
    4.0,
    20.0,
)  # standard deviations of a window: below, there is nothing to compare; above, no more weight
_WORST = 1 / 3
_OVERLAP = 50  # pixels of the coarse image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Details:
    """What is kept of an image to compare it.

    Attributes:
        grey: Grey values, 128 pixels on the longer side, uint8 ``(h, w)``.
        at: Places of features as x, y in an image of twice the side, float32 ``(m, 2)``.
        descriptors: Root-SIFT of each, times 255, uint8 ``(m, 128)``.
    """

    grey: NDArray[np.uint8]
    at: Floats
    descriptors: NDArray[np.uint8]

    @property
    def mirrored(self) -> Details:
        """Those of the mirrored image: rows of cells trade places, and gradients turn the other way."""
        at = self.at.copy()
        at[:, 0] = COARSE * self.grey.shape[1] - at[:, 0]
        cells = self.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., -np.arange(8) % 8]
        return Details(np.ascontiguousarray(self.grey[:, ::-1]), at, np.ascontiguousarray(cells.reshape(-1, 128)))


def read_details(image: Image.Image) -> Details:
    """Find local features: SIFT (D. G. Lowe, IJCV 2004), as Root-SIFT (R. Arandjelovic, A. Zisserman, CVPR 2012)."""
    import cv2

    grey = image.convert("L")
    fine, coarse = _sized(grey, SIDE), _sized(grey, SIDE // COARSE)
    points, found = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=_CONTRAST).detectAndCompute(fine, None)
    sift = np.zeros((0, 128), np.float32) if found is None else found[:FEATURES]
    roots = np.sqrt(sift / np.maximum(sift.sum(1, keepdims=True), 1e-6))
    at = np.array([point.pt for point in points[:FEATURES]], np.float32).reshape(-1, 2)
    scale = COARSE * np.array(coarse.shape[::-1]) / np.array(fine.shape[::-1])
    return Details(coarse, (at * scale).astype(np.float32), np.rint(255 * roots).astype(np.uint8))


def _sized(grey: Image.Image, side: int) -> NDArray[np.uint8]:
    scale = side / max(grey.size)
    width, height = (max(8, round(scale * one)) for one in grey.size)
    return np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))


def similarity(one: Details, other: Details) -> float:
    """Return how well the second image, or its mirror image, lies on the first: 0 not at all, 1 exactly.

    It is the product of the correlation of the pixels, the share of the matches that lie exactly where the map puts
    them, and a factor for their number m that supports the map, m / (m + 4).
    """
    return max(_one_way(one, other), _one_way(one, other.mirrored))


def _one_way(one: Details, other: Details) -> float:
    source, target = _matches(one, other)
    if len(source) < _FEWEST:
        return 0.0
    found = _fit(source, target)
    stretch = _stretch(one.grey, other.grey)
    if (found is None or 2 * found[1] < len(source)) and abs(np.log(stretch)) > _STRETCHED:
        found = max(found, _fit(source, target, stretch), key=lambda fit: 0 if fit is None else fit[1])
    if found is None:
        return 0.0
    plane, count = found
    exact = float((_errors(source, target, plane) < _EXACT).mean())
    return exact * count / (count + 4) * max(0.0, _correlation(one.grey, other.grey, plane))


def _matches(one: Details, other: Details) -> tuple[Floats, Floats]:
    """Return places in the second and in the first image of features that are most alike, and like no others."""
    if min(len(one.at), len(other.at)) < _FEWEST:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    ours, theirs = (_unit(details.descriptors) for details in (one, other))
    cosines = theirs @ ours.T
    nearest, rows = cosines.argmax(1), np.arange(len(cosines))
    mutual = cosines.argmax(0)[nearest] == rows
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1.0
    kept = mutual & (1 - best < _RATIO**2 * (1 - cosines.max(1)))  # squared distances, as of unit vectors
    return other.at[kept], one.at[nearest[kept]]


def _unit(descriptors: NDArray[np.uint8]) -> Floats:
    floats = descriptors.astype(np.float32)
    return np.asarray(floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-6), np.float32)


def _stretch(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return how much wider the first image is for its height."""
    return float(one.shape[1] * other.shape[0] / (one.shape[0] * other.shape[1]))


def _fit(source: Floats, target: Floats, stretch: float = 1.0) -> tuple[NDArray[np.float64], int] | None:
    """Return the map of most matches, ``(2, 3)``, and their number; None if there is none that an edit could make.

    Args:
        source: Places in the second image.
        target: Places in the first.
        stretch: Factor of all x of the second image before it is turned, scaled and shifted.
    """
    import cv2

    wide = np.array([stretch, 1.0], np.float32)
    plane, used = cv2.estimateAffinePartial2D(
        source * wide, target, method=cv2.RANSAC, ransacReprojThreshold=_TURNED, maxIters=1000, confidence=0.995
    )
    if plane is None:
        return None
    kept = used.ravel().astype(bool)
    count = int(kept.sum())
    if count < _FEWEST or not _SCALES[0] < np.hypot(plane[0, 0], plane[1, 0]) < _SCALES[1]:
        return None
    return _sheared(source[kept], target[kept], plane * np.array([stretch, 1, 1])), count


def _errors(source: Floats, target: Floats, plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far matches are from where a map puts them, in pixels, or in those of the second image if larger."""
    scale = float(np.linalg.svd(plane[:, :2], compute_uv=False)[0])
    apart = np.linalg.norm(source @ plane[:, :2].T + plane[:, 2] - target, axis=1)
    return np.asarray(apart / max(1.0, scale))


def _sheared(source: Floats, target: Floats, plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit two scales and shear as well, if more matches are exact then: a resize may change the proportions."""
    if len(source) < _AFFINE:
        return plane
    homogeneous = np.column_stack([source, np.ones(len(source))])
    affine = np.linalg.lstsq(homogeneous, target, rcond=None)[0].T
    most, least = np.linalg.svd(affine[:, :2], compute_uv=False)
    exact, sheared = ((_errors(source, target, one) < _EXACT).sum() for one in (plane, affine))
    return affine if sheared > exact and most < _SHEAR * least else plane


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8], plane: NDArray[np.float64]) -> float:
    """Return the correlation of small windows where the images overlap, those with more contrast counting more.

    It is the mean of two means: over all windows, and over the worst of them with a third of the weight. Two forms,
    charts or slides of one template agree in most windows, and in the others not at all.
    """
    import cv2

    height, width = one.shape
    coarse = plane * np.array([1, 1, 1 / COARSE])
    moved = cv2.warpAffine(other, coarse, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones_like(other), coarse, (width, height), flags=cv2.INTER_NEAREST)
    margin = np.ones((_WINDOW + 2, _WINDOW + 2), np.uint8)
    inside = cv2.erode(inside, margin, borderType=cv2.BORDER_CONSTANT, borderValue=0.0)
    if int(inside.sum()) < _OVERLAP:
        return 0.0
    ours, theirs = (
        np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), _SIGMA), np.float32) for image in (one, moved)
    )
    means = [_windows(ours), _windows(theirs)]
    spread = [
        np.sqrt(np.maximum(_windows(image * image) - mean * mean, 0.0))
        for image, mean in zip((ours, theirs), means, strict=True)
    ]
    products = _windows(ours * theirs) - means[0] * means[1]
    correlation = np.clip(products / np.maximum(spread[0] * spread[1], _PLAIN), -1.0, 1.0)
    weight = np.minimum(np.maximum(*spread), _STRONG) * inside
    seen = weight > 0
    order = np.argsort(correlation[seen])
    values, weights = correlation[seen][order], weight[seen][order].astype(np.float64)
    if not len(weights):
        return 0.0
    worst = int(np.searchsorted(np.cumsum(weights), weights.sum() * _WORST)) + 1
    return float(sum(np.average(values[:end], weights=weights[:end]) for end in (len(values), worst)) / 2)


def _windows(image: Floats) -> Floats:
    import cv2

    return np.asarray(cv2.boxFilter(image, -1, (_WINDOW, _WINDOW)), np.float32)
