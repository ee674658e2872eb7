"""What must be true before a file is touched: it is the file that was decided on, and a file of its group stays."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kinbits.dedupe.decisions import DecisionGroup, Decisions, FileDecision
from kinbits.dedupe.groups import seconds
from kinbits.dedupe.tree import Refusal, Tree, read_place, same_state


class Checks:
    """Checks files of decisions; a file that stays is read once.

    Args:
        decisions: The decisions.
        tree: Their root.
    """

    def __init__(self, decisions: Decisions, tree: Tree) -> None:
        self.decisions, self.tree = decisions, tree
        self._kept: dict[str, os.stat_result | Refusal] = {}

    def removable(self, file: FileDecision) -> os.stat_result:
        """Return the state of a file that may be removed.

        Raises:
            Refusal: If it may not.
        """
        state = self.unchanged(file)
        for group in self.decisions.groups_by_path[file.path]:
            self.require_kept(group, state)
        return state

    def unchanged(self, file: FileDecision) -> os.stat_result:
        """Return the state of a file that is as it was when it was decided on.

        Raises:
            Refusal: If it is not.
        """
        if not file.sha256:
            raise Refusal("it could not be read when it was decided on, or had changed")
        with self.tree.place(file.path) as place:
            found = read_place(place)
        if found.stat.st_size != file.bytes:
            raise Refusal(f"its size changed from {file.bytes:,} to {found.stat.st_size:,} bytes")
        if found.sha256 != file.sha256:
            raise Refusal("its contents changed")
        if seconds(found.stat.st_mtime_ns) != file.modified:
            raise Refusal("it was written again, with the same contents")
        return found.stat

    def require_kept(self, group: DecisionGroup, removed: os.stat_result) -> None:
        """Check that a file of the group stays, unchanged.

        Raises:
            Refusal: If none does, and that was not confirmed.
        """
        if group.remove_all:
            return
        reasons = []
        for file in self.kept_files(group):
            try:
                state = self._kept_state(file)
            except Refusal as refusal:
                reasons.append(f"{file.path}: {refusal}")
            else:
                if not os.path.samestat(state, removed) or state.st_nlink > 1:
                    return
                reasons.append(f"{file.path}: it is the same file under another name")
        detail = f" ({reasons[0]})" if reasons else ""
        raise Refusal(f"no other file of its group would be left{detail}")

    def kept_files(self, group: DecisionGroup) -> Iterator[FileDecision]:
        """Yield the files of a group that are not removed, those that were chosen first."""
        files = [self.decisions.files[path] for path in group.paths]
        yield from (file for file in files if file.decision == "keep")
        yield from (file for file in files if file.decision is None)

    def _kept_state(self, file: FileDecision) -> os.stat_result:
        """Return the state of a file that stays; its contents are read once, its state each time."""
        known = self._kept.get(file.path)
        if known is None:
            try:
                known = self.unchanged(file)
            except Refusal as refusal:
                known = refusal
            self._kept[file.path] = known
        if isinstance(known, Refusal):
            raise known
        with self.tree.place(file.path) as place:
            try:
                state = place.stat()
            except OSError:
                raise Refusal("it is gone") from None
        if not same_state(state, known):
            raise Refusal("it changed meanwhile")
        return state
