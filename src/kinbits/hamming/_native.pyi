import numpy as np
from numpy.typing import NDArray

def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8], out: NDArray[np.uint16]) -> None: ...
def histograms(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    relevant: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> None: ...
def tally(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    ends: NDArray[np.int64],
    levels: NDArray[np.uint16],
    counts: NDArray[np.int64],
    threads: int,
) -> None: ...
def search(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    limit: int,
    radius: int,
    allow: NDArray[np.uint8] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
def search_tables(
    tables: NDArray[np.float32],
    codes: NDArray[np.uint8],
    limit: int,
    radius: float,
    allow: NDArray[np.uint8] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
def map_file(descriptor: int, bytes: int) -> NDArray[np.uint8]: ...
def lost_pages() -> int: ...
def simd() -> str: ...
def simd_paths() -> list[str]: ...
def group_rows(
    codes: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    members: NDArray[np.uint32],
    scratch: NDArray[np.uint64],
    threads: int,
) -> int: ...

class MultiIndex:
    def __init__(
        self,
        wide: NDArray[np.uint8],
        narrow: NDArray[np.uint64],
        starts: NDArray[np.uint32],
        members: NDArray[np.uint32],
        rows: int,
    ) -> None: ...
    def add_tables(self, bits: int, count: int, offsets: NDArray[np.uint32], entries: NDArray[np.uint8]) -> None: ...
    def fill_tables(
        self, bits: int, count: int, offsets: NDArray[np.uint32], entries: NDArray[np.uint8], threads: int
    ) -> None: ...
    def search(
        self,
        queries: NDArray[np.uint8],
        k: int,
        radius: int,
        allow: NDArray[np.uint8],
        budget: float,
        threads: int,
        near: NDArray[np.int32],
        rows: NDArray[np.int64],
    ) -> None: ...
    def within(
        self,
        queries: NDArray[np.uint8],
        limit: int,
        radius: int,
        allow: NDArray[np.uint8],
        budget: float,
        threads: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]: ...
    def trace(
        self,
        queries: NDArray[np.uint8],
        without: NDArray[np.uint32],
        k: int,
        budget: float,
        threads: int,
        steps: NDArray[np.int64],
    ) -> None: ...
    def pair_groups(self, begin: int, end: int, radius: int, threads: int) -> NDArray[np.uint32]: ...
    def expand_pairs(
        self,
        flat: NDArray[np.uint32],
        cursor: NDArray[np.uint64],
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        distances: NDArray[np.int32],
    ) -> int: ...
