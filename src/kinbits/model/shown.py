"""A model as one line of text, and as a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from kinbits._util import shortened

if TYPE_CHECKING:
    from kinbits.model.hash_model import HashModel

_LONGEST = 200  # characters of a value


def as_text(model: HashModel) -> str:
    """Return method, length, backbones and the start of the fingerprint in one line."""
    backbones = " + ".join(tower.backbone.name for tower in model.towers.values())
    return f"HashModel({_method(model)}, {model.bits} bits, {backbones}, {model.fingerprint[:12]})"


def as_html(model: HashModel) -> str:
    """Return a table of what the model is; every value is escaped."""
    towers = [(f"{modality} backbone", tower.backbone.name) for modality, tower in model.towers.items()]
    facts = [
        ("method", _method(model)),
        ("bits", model.bits),
        *towers,
        ("trained on", f"{model.training.get('data', 'unknown')}, {model.training.get('rows', '?')} images"),
        ("fingerprint", model.fingerprint[:12]),
        *(("folder", model.folder) for _ in range(model.folder is not None)),
    ]
    return f"<table><caption>HashModel</caption>{''.join(_rows(facts))}</table>"


def _method(model: HashModel) -> str:
    return str(model.method.get("name", "unknown"))


def _rows(facts: Iterable[tuple[str, object]]) -> Iterable[str]:
    for name, value in facts:
        yield f"<tr><th>{escape(name)}</th><td>{escape(shortened(str(value), _LONGEST))}</td></tr>"
