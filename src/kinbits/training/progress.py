"""Progress of training: epochs and loss."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType

from kinbits._util import Bar, printable


class Progress:
    """Counts epochs and shows the latest loss.

    Args:
        label: What is trained.
        epochs: How many epochs there will be.
        shown: Whether to show anything.

    Attributes:
        summary: The last line, which stays when the training has ended.
    """

    def __init__(self, label: str, epochs: int, shown: bool) -> None:
        self.label, self.epochs = label, epochs
        self.done, self.text, self.summary = 0, "", ""
        self.bar = Bar(f"training {label}", epochs, shown and epochs > 0)

    def __enter__(self) -> Progress:
        self.bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.__exit__(kind, value, trace)
        if self.bar.shown and kind is None and self.done:
            sys.stderr.write(f"trained {printable(self.label)}: {self.summary}\n")

    def advance(self, share: float) -> None:
        """Tell how far the current epoch is, 0 to 1."""
        self.bar.update(self.done + min(share, 1.0), text=self.text)

    def epoch(self, record: Mapping[str, float]) -> None:
        """Count a finished epoch and show its numbers."""
        self.done += 1
        self.text = f"loss {record['loss']:.4f}"
        if "validation" in record:
            self.text += f", validation {record['validation']:.4f}"
        self.bar.update(self.done, text=self.text)
