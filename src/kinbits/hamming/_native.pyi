import numpy as np
from numpy.typing import NDArray

def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8], out: NDArray[np.uint16]) -> None: ...
def histograms(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    relevant: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> None: ...
def search(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    limit: int,
    radius: int,
    allow: NDArray[np.uint8] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
def simd() -> str: ...
def simd_paths() -> list[str]: ...
