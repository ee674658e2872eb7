"""A model as one line of text, and as a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from kinbits._util import shortened
from kinbits.model.card import trained_on
from kinbits.model.shipped import shipped_name
from kinbits.model.tower import Tower

_LONGEST = 200  # characters of a value


def as_text(method: Mapping[str, Any], towers: Mapping[Any, Tower], fingerprint: str, folder: Path | None) -> str:
    """Return method, length, backbones and the start of the fingerprint in one line; of a shipped model, its name."""
    backbones = " + ".join(tower.backbone.name for tower in towers.values())
    shipped = None if folder is None else shipped_name(folder)
    name = _name(method) if shipped is None else f"{shipped}: {_name(method)}"
    return f"HashModel({name}, {_bits(towers)} bits, {backbones}, {fingerprint[:12]})"


def as_html(
    method: Mapping[str, Any],
    towers: Mapping[Any, Tower],
    training: Mapping[str, Any],
    fingerprint: str,
    folder: Path | None,
) -> str:
    """Return a table of what a model is; every value is escaped."""
    facts: list[tuple[str, object]] = [("method", _name(method)), ("bits", _bits(towers))]
    backbones = {modality: tower.backbone for modality, tower in towers.items()}
    facts += [(f"{backbone.modality} backbone", backbone.name) for backbone in backbones.values()]
    facts += [("trained on", trained_on(training, backbones))]
    facts += [("fingerprint", fingerprint[:12])]
    facts += [("folder", folder)] if folder is not None else []
    return f"<table><caption>HashModel</caption>{''.join(_rows(facts))}</table>"


def _name(method: Mapping[str, Any]) -> str:
    return str(method.get("name", "unknown"))


def _bits(towers: Mapping[Any, Tower]) -> int:
    return towers["image"].head.bits


def _rows(facts: Iterable[tuple[str, object]]) -> Iterable[str]:
    for name, value in facts:
        yield f"<tr><th>{escape(name)}</th><td>{escape(shortened(str(value), _LONGEST))}</td></tr>"
