"""The search for duplicates: exact ones, copies within a calibrated radius, bursts, and similar images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._util import full_path, locked_output
from kinbits.data import BadImage, Dataset, open_dataset
from kinbits.dedupe.banks import match_banks
from kinbits.dedupe.bursts import burst_pairs
from kinbits.dedupe.calibrate import Calibrated, calibrate_radius
from kinbits.dedupe.collected import Collected, collect_dataset, collect_folder, collect_index, given, with_facts
from kinbits.dedupe.edited import EditedCopies, edit_sample
from kinbits.dedupe.encoded import Model
from kinbits.dedupe.groups import KINDS, DuplicateGroup, DuplicateItem, Kind
from kinbits.dedupe.looking import Looking
from kinbits.dedupe.near import NearPairs
from kinbits.dedupe.report import DedupeReport, KnownMatch
from kinbits.dedupe.settings import COPY_MODEL, DedupeSettings
from kinbits.dedupe.stars import components, members, star_groups
from kinbits.dedupe.state import STATE, State
from kinbits.dedupe.verified import LEVELS, calibrate_similarity, can_verify, look_at_pairs
from kinbits.errors import UsageError
from kinbits.index import Index

Rows = NDArray[np.int64]
BURST_TOLERANCE = 0.01  # expected pairs of unlike shots, as a share of the bursts found
_NO_PACKAGES = "codes alone told copies from other images; to look at these too, run: pip install 'kinbits[dedupe]'"
_NO_IMAGES = "codes alone told copies from other images, since most or all of these were not found"
_SAME_PIXELS = 2  # bits between codes of equal pixels that were encoded in different batches


def find_duplicates(
    source: Any,
    *,
    model: Model | str | os.PathLike[str] | None = COPY_MODEL,
    folder: str | os.PathLike[str] | None = None,
    banks: Sequence[Any] = (),
    progress: bool = False,
    **options: Any,
) -> DedupeReport:
    """Find duplicates: equal files, equal pixels, copies, bursts, and similar images if asked for.

    Args:
        source: A folder of images, a `kinbits.Index` or its folder, a `kinbits.Dataset`, or what
            `kinbits.open_dataset` takes. In an index the codes are compared that it holds.
        model: Makes the codes of images: a model, its folder or its name. None finds equal files and pixels only.
        folder: Where what was read is kept, in ``state.sqlite``: a second search then reads new and changed files
            only, also after the first was killed. None keeps nothing.
        banks: Known items that the collection is compared with: indexes of the same model, their folders, or
            ``(index, radius)``. Without a radius, pairs are looked at as those of the collection are, if the images
            of the bank are there; or else its radius is calibrated.
        progress: Show progress on standard error.
        options: Fields of `kinbits.dedupe.DedupeSettings`.

    Returns:
        The report; it writes nothing. `DedupeReport.save` does.

    Raises:
        UsageError: If an option is unknown or does not fit the source.
        DataError: If no image can be read.
        ArtefactError: If the model, an index or the state is damaged, or codes are of another model.
        PlatformError: If the state cannot be written, or another process uses it.
    """
    settings = _settings(options)
    opened = given(source)
    if not isinstance(opened, (Index, Path, Dataset)):
        opened = open_dataset(opened)  # before the model, so that a misspelt name is told at once
    if settings.similarity is not None and model is None and not isinstance(opened, Index):
        raise UsageError("a similarity needs codes that name pairs; give a model")
    if banks and model is None and not isinstance(opened, Index):
        raise UsageError("a bank needs codes to compare with; give the model that made the bank")
    with ExitStack() as held:
        if folder is not None:
            held.enter_context(locked_output(full_path(folder) / STATE, "folder"))
        state = held.enter_context(State(None if folder is None else full_path(folder)))
        maker = _model(opened, model)
        found = _collected(opened, source, maker, state, progress=progress)
        return _Search(found, maker, state, settings, progress).report(banks)


def _settings(options: dict[str, Any]) -> DedupeSettings:
    try:
        return DedupeSettings(**options)
    except TypeError:
        known = ", ".join(DedupeSettings.__dataclass_fields__)
        raise UsageError(f"unknown option among {', '.join(options)}; known: {known}") from None


def _model(opened: Any, model: Any) -> Any:
    if isinstance(opened, Index):  # whose codes are there already
        return None if opened.fingerprint is None else opened.model
    if not isinstance(model, (str, os.PathLike)):
        return model
    from kinbits.model import HashModel  # here, because equal files are found without torch

    return HashModel.from_pretrained(model)


def _collected(opened: Any, source: Any, model: Any, state: State, *, progress: bool) -> Collected:
    if isinstance(opened, Index):
        return collect_index(opened, str(source) if isinstance(source, (str, Path)) else repr(opened))
    if isinstance(opened, Path):
        return collect_folder(opened, model, state, progress=progress)
    return collect_dataset(opened, model, progress=progress)


class _Search:
    """One search in a collection."""

    def __init__(self, found: Collected, model: Any, state: State, settings: DedupeSettings, progress: bool) -> None:
        self.found, self.model, self.state, self.settings, self.progress = found, model, state, settings, progress
        self.rank = found.rank
        self.groups: list[DuplicateGroup] = []
        self.notes = found.notes

    def report(self, banks: Sequence[Any]) -> DedupeReport:
        """Search, and return everything that was found."""
        found, calibrated = self.found, None
        self._add("bytes", found.files.values())
        if found.codes is not None:
            calibrated = self._near(found.codes)
        else:
            self._pixels(None)
        known = self._known(banks, calibrated)
        return DedupeReport(
            root=found.root,
            groups=tuple(sorted(self.groups, key=_order)),
            calibration=None if calibrated is None else calibrated.result,
            items=found.count,
            reused=found.reused,
            skipped=found.skipped,
            ignored=found.ignored,
            model="" if self.model is None else repr(self.model).split("(fingerprint")[0],
            fingerprint=None if self.model is None else self.model.fingerprint,
            settings=asdict(self.settings),
            known=known,
            notes=self.notes,
        )

    def _known(self, banks: Sequence[Any], calibrated: Calibrated | None) -> tuple[KnownMatch, ...]:
        if calibrated is None:
            return ()
        matches, notes = match_banks(
            self.found, banks, calibrated, self.model, self.settings.tolerance, progress=self.progress
        )
        self.notes += tuple(notes)
        return tuple(matches)

    def _near(self, codes: NDArray[np.uint8]) -> Calibrated:
        found, settings = self.found, self.settings
        sizes = np.array([(item.width, item.height) for item in found.items], np.int64).reshape(-1, 2)
        bursts = burst_pairs([item.path for item in found.items], found.taken, sizes, settings.seconds)
        if not found.sized:
            bursts = bursts[0][:0], bursts[1][:0]
        looked = self._can_look()
        edits = self._edited(codes, looked)
        calibrated = calibrate_radius(
            codes,
            self.rank,
            edits={name: copies.bits for name, copies in edits.items()},
            bursts=bursts,
            tolerance=settings.tolerance,
            radius=settings.radius,
            seed=settings.seed,
        )
        if looked:
            calibrated = self._looked(codes, calibrated, bursts, edits)
        alone = self._pixels(calibrated.search(_SAME_PIXELS))
        pairs = calibrated.pairs.without(*bursts, len(codes))
        pairs = pairs.only(alone[pairs.first] & alone[pairs.second])
        center = self._stars("copies", codes, pairs, LEVELS if looked else None)
        self._bursts(codes, bursts, calibrated, alone)
        if settings.similar is not None:
            best = center == np.arange(len(codes))
            wide = calibrated.search(settings.similar).without(*bursts, len(codes))
            self._stars(
                "similar",
                codes,
                wide.only(best[wide.first] & best[wide.second] & alone[wide.first] & alone[wide.second]),
            )
        return calibrated

    def _can_look(self) -> bool:
        """Return whether pairs are looked at; if they should be and cannot, note why.

        Raises:
            UsageError: If they cannot, and a similarity was asked for.
        """
        found, settings = self.found, self.settings
        if settings.codes_only or settings.radius is not None:
            return False
        why = _NO_PACKAGES if not can_verify() else "" if found.has_images(settings.seed) else _NO_IMAGES
        if why and settings.similarity is not None:
            raise UsageError(f"{why}; a similarity cannot be asked for")
        self.notes += (why,) if why and found.load is not None else ()
        return not why

    def _edited(self, codes: NDArray[np.uint8], looked: bool) -> dict[str, EditedCopies]:
        found, settings = self.found, self.settings
        if found.load is None or self.model is None or not settings.sample:
            return {}
        return edit_sample(
            self.model,
            found.load,
            codes,
            self.state,
            looked=looked,
            sample=settings.sample,
            seed=settings.seed,
            progress=self.progress,
        )

    def _looked(
        self,
        codes: NDArray[np.uint8],
        calibrated: Calibrated,
        bursts: tuple[Rows, Rows],
        edits: Mapping[str, EditedCopies],
    ) -> Calibrated:
        """Look at the images of pairs, and let their similarity decide."""
        found, settings = self.found, self.settings
        assert found.load is not None
        looking = Looking(found.load, found.names, self.state, progress=self.progress)
        pairs = look_at_pairs(codes, calibrated.search, looking, self.rank, bursts, settings.seed)
        if looking.unread:
            count, one = len(looking.unread), found.items[min(looking.unread)].path
            self.notes += (f"{count:,} could not be read again and were not compared, e.g. {one}",)
        result, copies = calibrate_similarity(
            pairs,
            self.rank,
            edits=edits,
            bits=calibrated.result.bits,
            tolerance=settings.tolerance,
            similarity=settings.similarity,
        )
        return replace(calibrated, result=result, pairs=copies)

    def _stars(self, kind: Kind, codes: NDArray[np.uint8], pairs: NearPairs, levels: int | None = None) -> Rows:
        """Group rows around representatives; ``levels`` is the distance of pairs that are not similar at all."""
        center, near = star_groups(pairs.first, pairs.second, pairs.distances, self.rank)
        bits = hamming.paired_distances(codes, codes[center])
        for rows in members(center):
            items = [
                replace(
                    self.found.items[row],
                    distance=int(bits[row]),
                    similarity=None if levels is None else 1 - int(near[row]) / levels,
                )
                for row in sorted(rows.tolist(), key=self.rank.__getitem__)
            ]
            self._add(kind, [items])
        return center

    def _bursts(
        self, codes: NDArray[np.uint8], bursts: tuple[Rows, Rows], calibrated: Calibrated, alone: NDArray[np.bool_]
    ) -> None:
        """Group the shots of one moment; a burst may be a chain in time."""
        kept = alone[bursts[0]] & alone[bursts[1]]
        first, second = bursts[0][kept], bursts[1][kept]
        if not len(first):
            return
        apart = hamming.paired_distances(codes[first], codes[second])
        expected = calibrated.background.expected(len(first))
        found = np.searchsorted(np.sort(apart), np.arange(len(expected)), side="right")
        fits = np.flatnonzero(expected <= BURST_TOLERANCE * np.maximum(found, 1))
        near = apart <= (fits[-1] if len(fits) else -1)
        for rows in members(components(first[near], second[near], len(codes))):
            best, *others = sorted(rows.tolist(), key=self.rank.__getitem__)
            bits = hamming.paired_distances(codes[[best] * len(others)], codes[others]).tolist()
            items = [replace(self.found.items[row], distance=near) for row, near in zip(others, bits, strict=True)]
            self._add("bursts", [[replace(self.found.items[best], distance=0), *items]])

    def _pixels(self, pairs: NearPairs | None) -> NDArray[np.bool_]:
        """Group rows of equal pixels; return which rows are alone or the best of their group."""
        n = len(self.found)
        rows = self._candidates(pairs)
        hashes = self._pixel_hashes(rows)
        groups: dict[bytes, list[int]] = {}
        for row, digest in hashes.items():
            groups.setdefault(digest, []).append(row)
        alone = np.ones(n, np.bool_)
        for equal in groups.values():
            if len(equal) > 1:
                equal.sort(key=self.rank.__getitem__)
                alone[equal[1:]] = False
                self._add("pixels", [[self.found.items[row] for row in equal]])
        return alone

    def _candidates(self, pairs: NearPairs | None) -> list[int]:
        """Return rows that may have equal pixels: those of equal size, and with equal codes if there are any."""
        if self.found.load is None:
            return []
        sizes = [(item.width, item.height) for item in self.found.items]
        if pairs is None:
            seen: dict[tuple[int, int], list[int]] = {}
            for row, size in enumerate(sizes):
                seen.setdefault(size, []).append(row)
            return [row for rows in seen.values() if len(rows) > 1 for row in rows]
        near = pairs.within(_SAME_PIXELS)
        both = zip(near.first.tolist(), near.second.tolist(), strict=True)
        return sorted({row for one, two in both if sizes[one] == sizes[two] for row in (one, two)})

    def _pixel_hashes(self, rows: Sequence[int]) -> dict[int, bytes]:
        names = self.found.names
        known = self.state.contents([names[row] for row in rows]) if names else {}
        found, new = {}, []
        for row in rows:
            digest = known[names[row]].pixels if names and names[row] in known else None
            if digest is None:
                digest = self._pixel_hash(row)
                new += [(names[row], digest)] if names and digest is not None else []
            if digest is not None:
                found[row] = digest
        self.state.keep_pixels(new)
        return found

    def _pixel_hash(self, row: int) -> bytes | None:
        assert self.found.load is not None
        try:
            image = self.found.load(row)
        except BadImage:
            return None
        return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()

    def _add(self, kind: Kind, groups: Iterable[Sequence[DuplicateItem]]) -> None:
        for items in groups:
            known = items if self.found.sized else [with_facts(item, self.found.root) for item in items]
            best, *others = known
            others.sort(key=lambda item: (item.distance or 0, item.path))
            self.groups.append(DuplicateGroup(kind, (best, *others)))


def _order(group: DuplicateGroup) -> tuple[int, int, str]:
    return KINDS.index(group.kind), -len(group), group.representative.path
