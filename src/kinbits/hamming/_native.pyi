import numpy as np
from numpy.typing import NDArray

def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8], out: NDArray[np.uint16]) -> None: ...
def histograms(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    relevant: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> None: ...
