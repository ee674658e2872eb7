"""Segments of an index in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kinbits.hamming import MultiIndex
from kinbits.index.store.merge import SortedRun
from kinbits.index.store.options import DEFAULT, IndexOptions
from kinbits.index.store.search_tables import SearchTables
from kinbits.index.store.segment import Segment


@dataclass(frozen=True)
class MemoryBuilder:
    """Builds segments and search tables in memory.

    Attributes:
        options: Sizes of segments and blocks.
    """

    options: IndexOptions = DEFAULT

    def build_segment(self, number: int, runs: Sequence[SortedRun], /) -> Segment:
        """Join runs into a new segment."""
        return Segment.from_runs(number, runs, self.options.block_rows)

    def build_tables(self, segment: Segment, _generation: int, /) -> SearchTables:
        """Build the search tables of a segment."""
        return SearchTables(MultiIndex.from_codes(segment.codes))
