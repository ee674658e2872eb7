"""The model card: what somebody who did not train the model must know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from kinbits._util import Modality
from kinbits.backbones import Backbone
from kinbits.hamming import BITS, SCALED
from kinbits.model.operating_points import OPERATING_POINTS, stored_points
from kinbits.training import defence_text, epochs_text, validation_text

# The licences of backbones that the hub knows by the same name in lower case.
_LICENCES = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0")
_BITS = {
    "distance": "Hamming distance",
    "compared": "distances = kinbits.hamming.distances(codes[:1], codes)",
    "packing": """Bit 1 means a logit of at least 0; bits are packed as `numpy.packbits` does, most significant first, \
and pad bits are 0.""",
}
_TABLES = {
    "distance": "asymmetric distance to a real-valued query",
    "compared": """tables = model.encode({example}, output="tables")
distances = kinbits.hamming.table_distances(tables[:1], codes)""",
}
_WORDS = {
    **_TABLES,
    "packing": """A code is a list of numbers of words, each of a codebook of {words} words; two numbers of 16 words
share a byte, the first in its upper half. Codes have no Hamming distance: the tables of a query hold its distance to
each word.""",
}
_SCALED = {
    **_TABLES,
    "packing": """A code is whole numbers of few bits, one for each dimension of the rotated vector, and three
float32 that scale them to an estimate of a query's distance. Codes have no Hamming distance.""",
}
_TAGS = {BITS: "hamming", SCALED: "scalar-quantization"}
CARD = """---
{header}---
# {bits}-bit codes by `{method}`

Turns {inputs} into {bits}-bit codes ({width} bytes each) whose {distance} is small for similar ones.

| | |
| --- | --- |
| method | `{method}` {parameters} |
{towers}
{decoder}| trained on | {data} |
| seed | {seed} |
{epochs}| fingerprint | `{fingerprint}` |

## Use

```python
import kinbits

model = kinbits.HashModel.from_pretrained("path/of/this/folder")
codes = model.encode({example})  # uint8 (2, {width})
{compared}
```

## Conventions

{packing}
Features of images and texts are rounded to float16 before the head, vectors are taken as float32.
Codes of this model can be compared with one another only: an index remembers the fingerprint and refuses others.

{metrics}## Limits

Codes separate what the training labels or features separate, with the same biases. A small distance does not prove
identity.
The backbone's weights have their own licence (above), which also binds this model.
"""


def model_card(
    bits: int,
    backbones: Mapping[Modality, Backbone],
    method: Mapping[str, Any],
    training: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    fingerprint: str,
    decoder: bool = False,
    words: int = BITS,
) -> str:
    """Return the card in Markdown, with the numbers that were measured.

    Args:
        bits: Code length.
        backbones: The backbone of each modality.
        method: Name and parameters of the method.
        training: The training record.
        metrics: Measured values by protocol.
        fingerprint: The model's.
        decoder: Whether it has one.
        words: Words of a part of a code; 2 for bits, 0 for scaled codes.
    """
    example = _example(backbones["image"])
    kind = {BITS: _BITS, SCALED: _SCALED}.get(words, _WORDS)
    about = {name: text.format(words=words, example=example) for name, text in kind.items()}
    parameters = ", ".join(f"{k}={v}" for k, v in dict(method.get("params", {})).items())
    towers = "\n".join(
        f"| {b.modality} backbone | `{b.name}`, {b.feature_dim} features, licence: {b.licence} |"
        for b in backbones.values()
    )
    return CARD.format(
        **about,
        header=_header(method, backbones, _TAGS.get(words, "product-quantization")),
        bits=bits,
        width=-(-bits // 8),
        method=method.get("name", "unknown"),
        parameters=f"({parameters})" if parameters else "",
        inputs=" and ".join(f"{backbone.modality}s" for backbone in backbones.values()),
        towers=towers,
        decoder="| decoder | yes: `index.search(query, rerank=100)` re-ranks by reconstructed features |\n" * decoder,
        data=trained_on(training, backbones),
        example=example,
        seed=training.get("seed", "?"),
        epochs=_epochs(training, backbones["image"]),
        fingerprint=fingerprint,
        metrics=_measured(metrics),
    )


def trained_on(training: Mapping[str, Any], backbones: Mapping[Modality, Backbone]) -> str:
    """Return the name of the training data, with the number and the kind of the items.

    An aligned text backbone follows from the images, and no texts were learned from.
    """
    kinds = " with ".join(f"{backbone.modality}s" for backbone in backbones.values() if not backbone.aligned)
    return f"{training.get('data', 'unknown')}, {training.get('rows', '?')} {kinds}"


def _example(image: Backbone) -> str:
    """Return inputs of the model as Python code."""
    return f"[[0.5] * {image.feature_dim}] * 2" if image.modality == "vector" else '["a.jpg", "b.jpg"]'


def _epochs(training: Mapping[str, Any], image: Backbone) -> str:
    """Return rows about the epochs and the score that chose one of them, if there were any."""
    rows = {
        "epochs": epochs_text(training),
        "validation": validation_text(training, f"{image.modality}s"),
        "defence": defence_text(training),
    }
    return "".join(f"| {name} | {text} |\n" for name, text in rows.items() if text is not None)


def _header(method: Mapping[str, Any], backbones: Mapping[Modality, Backbone], kind: str) -> str:
    """Return the YAML that the hub reads to show and to find the model."""
    image = backbones["image"].modality == "image"
    tags = [*(["image-retrieval"] if image else []), "hashing", kind, str(method.get("name", "unknown"))]
    fields = {
        "library_name": "kinbits",
        "license": _licence({backbone.licence.lower() for backbone in backbones.values()}),
        "pipeline_tag": "image-feature-extraction" if image else "feature-extraction",
        "tags": [*tags, *(["cross-modal-retrieval"] if "text" in backbones else [])],
    }
    return str(yaml.safe_dump(fields, sort_keys=False))


def _licence(licences: Iterable[str]) -> str:
    """Return the one licence that all backbones have, as the hub names it; ``other`` refers to the card's table."""
    known = set(licences)
    (only,) = known if len(known) == 1 else ("other",)
    return only if only in _LICENCES else "other"


def with_metrics(card: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a card with its section of numbers made anew; all other sections stay as they are."""
    plain = re.sub(r"^## Measured\n.*?(?=^## |\Z)", "", card, flags=re.MULTILINE | re.DOTALL)
    above, limits, below = plain.partition("## Limits\n")
    return above + _measured(metrics) + limits + below


def _measured(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    if not metrics:
        return ""
    lines = ["## Measured", "", "| protocol | metric | value |", "| --- | --- | --- |"]
    for protocol, values in metrics.items():
        lines += [
            f"| {protocol} | {name} | {_number(value)} |" for name, value in values.items() if name != OPERATING_POINTS
        ]
    return "\n".join([*lines, "", *_operating_points(metrics), ""])


def _operating_points(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of the radius that meets each target, and what it reached on queries that did not choose it."""
    names = ("radius", "precision", "recall")
    rows = [
        f"| {protocol} | {target} | {' | '.join(_number(point.get(name)) for name in names)} |"
        for protocol, target, point in stored_points(metrics)
    ]
    head = ["| protocol | operating point | radius | precision | recall |", "| --- | --- | --- | --- | --- |"]
    return [*head, *rows, ""] if rows else []


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
