"""What makes the numbers of a run, as a hash: a row of results counts while its hash is the present one.

The hash covers all options of `kinbits.fit` with their values filled in, so a row becomes stale when

- the default of a hyper-parameter or of another option changes: the value is hashed, wherever it was written;
- the recipe of the method changes, unless the run overrides what changed;
- a version number is raised: that of the method (`Method.version`), of a method inside it or before it, of the label
  expansion (`Expansion.version`), of the defence (`Defence.version`), or `SHARED_VERSION`;
- a file that a hyper-parameter names has other contents.

Code itself does not count: comments, new names of functions and moved files make no row stale. A method of a user's own
has no version that anyone raises, so there the code counts, without comments and docstrings. A new option makes no row
stale if its default is None. Options that change no number do not count: hardware, checkpoints, progress, the cache.
Data and folders of weights are apart, see `kinbits.bench.protocol_data` and `kinbits.bench.weights`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinbits.bench.sources import code_below, is_file
from kinbits.defences import Defence, get_defence
from kinbits.fitting import FeatureSettings, FitSettings, SupervisionSettings
from kinbits.labelling import Expansion, build_expansion
from kinbits.methods import Method, get_method, list_methods, parameters
from kinbits.training import TrainingSettings, defence_record, pretraining_settings

SHARED_VERSION = 1
"""Version of what all methods share: raise it when the trainer or the evaluation changes all results."""

_NO_NUMBER = ("cache", "devices", "accelerator", "checkpoints", "resume", "progress")
_APART = ("pretrain", "pretrain_epochs", "label_expansion", "expansion_params", "defence", "defence_params")


def config_of(settings: FitSettings, **context: Any) -> str:
    """Return the hash of one run of `kinbits.fit`, 12 hex digits.

    Args:
        settings: All options of the run, with a method.
        context: What else makes the numbers, such as the name of the protocol.

    Example:
        >>> found = FitSettings("hashnet", bits=32)
        >>> config_of(found) == config_of(found.with_options(params={}, epochs=None))
        True
    """
    assert settings.method is not None
    recipe = vars(settings.training.recipe(get_method(settings.method).recipe))
    options = {**vars(settings.features), **vars(settings.supervision), **vars(settings.training)}
    described = {
        "method": _method(settings.method, settings.params),
        "bits": settings.bits,
        "recipe": recipe,
        "options": _without(options, *recipe, *_NO_NUMBER, *_APART),
        "pretraining": _pretraining(settings.training),
        "expansion": _expansion(settings.supervision),
        "defence": _defence(settings.training),
    }
    return digest({**context, **described})


def features_config_of(settings: FeatureSettings, **context: Any) -> str:
    """Return the hash of a ranking by uncompressed features, 12 hex digits; arguments as in `config_of`."""
    return digest({**context, "options": _without(vars(settings), *_NO_NUMBER)})


def digest(value: Any) -> str:
    """Return a hash of plain values, 12 hex digits; None counts as not given, and 1.0 as 1."""
    described = json.dumps(_plain({"shared": SHARED_VERSION, "of": value}), sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def _method(name: str, params: Mapping[str, Any], *outer: str) -> dict[str, Any]:
    """Describe a method: its name and versions, and all hyper-parameters; a user's own by its code."""
    cls = get_method(name)
    values = {one.name: params.get(one.name, one.default) for one in parameters(cls)}
    return {
        "name": cls.name,
        **_versions(cls, Method, Path(name) if is_file(name) else None),
        "params": {key: _value(value, *outer, name) for key, value in values.items()},
    }


def _value(value: Any, *outer: str) -> Any:
    """Return a hyper-parameter; what names a method or a file counts by what it names."""
    if not isinstance(value, str) or value in outer:
        return value
    if is_file(value) or value in list_methods():
        return _method(value, {}, *outer)
    path = Path(value)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix and path.is_file() else value


def _pretraining(training: TrainingSettings) -> dict[str, Any] | None:
    if training.pretrain is None:
        return None
    recipe = pretraining_settings(training).recipe(get_method(training.pretrain).recipe)
    return {"method": _method(training.pretrain, {}), "recipe": vars(recipe)}


def _expansion(supervision: SupervisionSettings) -> dict[str, Any] | None:
    if supervision.label_expansion is None:
        return None
    built = build_expansion(supervision.label_expansion, **supervision.expansion_params)
    return {"name": built.name, **_versions(type(built), Expansion), "params": vars(built)}


def _defence(training: TrainingSettings) -> dict[str, Any] | None:
    if training.defence is None:
        return None
    return {**defence_record(training), **_versions(get_defence(training.defence), Defence)}


def _versions(cls: type, contract: type, own: Path | None = None) -> dict[str, Any]:
    """Return the versions of a class and its bases, and the code of those that are not part of kinbits."""
    bases = cls.__mro__[: cls.__mro__.index(contract)]
    raised = [version for base in bases if (version := vars(base).get("version", 1)) > 1]
    return {"versions": raised, "code": sorted(code_below(bases, own))}


def _without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
