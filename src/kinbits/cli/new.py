"""kinbits new: files to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from kinbits.cli.app import group
from kinbits.errors import UsageError, platform_error

new = group("new", "Write a file to start from.")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

SKELETON = '''"""{title}: one sentence that says what it does."""

from collections.abc import Mapping

import torch
from kinbits import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods import Batch, Method, Recipe, Spec, TrainView, register
from kinbits.methods.blocks import label_cross_entropy, labelled, quantization_error, start_from_log_odds
from torch import Tensor, nn


@register("{name}")
class {title}(Method):
    """One sentence for `kinbits methods`.

    To begin with, the baseline `softmax-quantization`. With v the logits ``(b, K)``, and W ``(C, K)`` and c ``(C,)`` a
    linear classifier::

        L = mean_i cross-entropy(W tanh(v_i) + c, y_i) + quantization mean_ik (|v_ik| - 1)^2

    Write your formula here, with symbols and shapes, and put it into `loss`.

    Args:
        spec: The task: bits, feature length, label space, seed.
        quantization: Weight of the second term. Keyword arguments become `--param NAME=VALUE`.

    Reference: authors, "Title", venue and year, equation numbers.
    """

    supervision = "labels"  # or "pairs", "none"
    multi_label = True
    recipe = Recipe(
        epochs=10,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        min_steps=625,
    )

    def __init__(self, spec: Spec, *, quantization: float = 0.1) -> None:
        super().__init__(spec)
        if quantization < 0:
            raise UsageError(f"quantization is {{quantization}}; it must not be negative")
        self.quantization = quantization
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)
        self.classifier = nn.Linear(spec.bits, spec.classes)

    def prepare(self, train: TrainView) -> None:
        """Start the classifier of label sets from the log-odds of each label."""
        start_from_log_odds(self.classifier, train.labels)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the named terms of the loss over labelled rows; the trainer adds and logs them."""
        known = labelled(batch.require_labels())
        scores = self.classifier(torch.tanh(logits[known]))
        return {{
            "classification": label_cross_entropy(scores, batch.require_labels()[known]),
            "quantization": self.quantization * quantization_error(logits, 2),
        }}
'''


@new.callback()
def _kinds() -> None:
    """Write a file to start from."""


@new.command()
def method(
    name: Annotated[str, typer.Argument(help="Lower-case words joined by '-', such as my-loss.", show_default=False)],
) -> None:
    """Write NAME.py here: a method that trains as it is, and passes the conformance check."""
    from kinbits.methods import list_methods

    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is not a name for a method; use lower case, digits and '-', e.g. my-loss")
    path = Path(f"{name.replace('-', '_')}.py")
    if not path.exists() and name in list_methods():
        raise UsageError(f"there is a method '{name}' already; choose another name")
    title = "".join(word.capitalize() for word in name.split("-"))
    _write_new(path, SKELETON.format(name=name, title=title))
    print(
        f"wrote {path}\n"
        f"try it:    kinbits fit DATA -o MODEL --method {path}\n"
        f"check it:  python -c \"from kinbits.testing import check_method; check_method('{path}')\""
    )


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten; choose another name, or move it away") from None
    except OSError as error:
        raise platform_error(f"cannot write {path}", error) from None
