"""Small models without training, and seeded damage to their folders: run as ``python model_folders.py COUNT SEED``."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from kinbits import HashModel, KinbitsError
from kinbits.backbones import Preprocessing, build_backbone, load_backbone
from kinbits.heads import Decoder, build_head
from kinbits.model import Tower

FEATURES, BITS = 16, 8
# what stands in for a value: every type, sizes that nobody has memory for, names that reach other code
ODD = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 10**9, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x",
    "8", "\ud800", "\x1b[2J", "a" * 5000, [], [1], [[]], {}, {"a": 1}, "linear", "mlp", "merged", "vlad", "features",
    "convnet-small", "map:", "hf:", "hf-text:", "timm:", "minilm", "efficientnet_lite0", "../../etc/passwd",
)  # fmt: skip


def small_model(seed: int = 0, hidden: int = 4) -> HashModel:
    """Return a model on vectors with a decoder, whose weights depend on the seed."""
    torch.manual_seed(seed)
    head = build_head({"name": "mlp", "features": FEATURES, "bits": BITS, "hidden": hidden})
    towers = {"image": Tower(load_backbone("features", dim=FEATURES), head)}
    method = {"name": "orthohash", "params": {"scale": 8.0}}
    training = {"data": "x", "rows": 5, "seed": seed, "epochs": 1, "history": [{"loss": 0.5}, {"loss": 0.25}]}
    return HashModel(towers, method, training, {"self": {"map@all": 0.5}}, Decoder(BITS, FEATURES, hidden))


def transformer_model() -> HashModel:
    """Return a model with a transformer for images and one for texts."""
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    rest = {"licence": "mit", "pretrained": True, "name": "hf:x"}
    vit = {"model_type": "vit", "image_size": 16, "patch_size": 8, **size}
    bert = {"model_type": "bert", "vocab_size": 20, "max_position_embeddings": 8, **size}
    preprocessing = {"preprocessing": Preprocessing(16).to_dict()}
    image = build_backbone({"backbone": "hf:", "config": vit, **preprocessing, **rest})
    text = build_backbone({"backbone": "hf-text:", "config": bert, "tokenizer_bytes": 5, **rest})
    head = {"name": "linear", "features": 16, "bits": BITS}
    towers = {"image": Tower(image, build_head(head)), "text": Tower(text, build_head(head))}
    return HashModel(towers, {"name": "dcmh", "params": {}})


def edit(folder: Path, change, name: str = "config.json") -> None:
    """Change a JSON file in place: ``change`` gets its value, and alters it or returns another."""
    value = json.loads((folder / name).read_text())
    changed = change(value)
    (folder / name).write_text(json.dumps(value if changed is None else changed))


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file of a model folder; return what was done."""
    kind = rng.choice(("value", "value", "value", "key", "bytes", "cut", "header", "header", "deep", "missing"))
    name = rng.choice(("config.json", "config.json", "config.json", "training.json", "metrics.json"))
    if kind in ("value", "key"):
        edit(folder, lambda value: _changed(value, kind, rng), name)
    elif kind == "header":
        _header(folder / "model.safetensors", rng)
    elif kind == "deep":
        (folder / name).write_text('{"a":' * 100_000 if rng.random() < 0.5 else "[" * 100_000 + "]" * 100_000)
    else:
        _bytes(folder / rng.choice((name, "model.safetensors")), kind, rng)
    return f"{kind} in {name}"


def _changed(value, kind, rng):
    places = list(_places(value))
    holder, key = rng.choice(places) if places else ([value], 0)
    if kind == "key":
        if isinstance(holder, dict) and rng.random() < 0.5:
            holder[rng.choice(("backbone", "inner", "layers", "x", "name", "shape"))] = holder.pop(key)
        else:
            del holder[key]
    elif rng.random() < 0.1:
        return rng.choice(ODD)
    else:
        holder[key] = rng.choice(ODD)
    return value


def _places(value):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(pairs):
        yield value, key
        yield from _places(part)


def _header(path, rng):
    raw = bytearray(path.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    for _ in range(rng.randint(1, 3)):
        raw[rng.randrange(8 + length)] = rng.choice((rng.randrange(256), *b'0123456789",:[]{}'))
    path.write_bytes(raw)


def _bytes(path, kind, rng):
    raw = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
        return
    if kind == "cut":
        del raw[rng.randrange(len(raw)) :]
    else:
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    path.write_bytes(raw)


def outcomes(model: HashModel, count: int, seed: int) -> Counter[str]:
    """Load damaged folders of a model; count what came of it. Anything but a model or a KinbitsError is raised."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        whole = model.save_pretrained(Path(place) / "whole")
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            copy = Path(place) / "copy"
            shutil.copytree(whole, copy)
            done = damage(copy, rng)
            try:
                found[_loaded(copy)] += 1
            except KinbitsError as error:
                lines = len(str(error).splitlines())
                found[type(error).__name__ if lines == 1 else f"{lines} lines"] += 1
            except BaseException:
                print(f"seed {seed}, number {number}: {done}", file=sys.stderr)
                raise
            shutil.rmtree(copy)
    return found


def _loaded(folder: Path) -> str:
    """Load a model and use it in every way; it must be as good as it looks."""
    model = HashModel.from_pretrained(folder)
    codes = model.tower().compute(torch.ones(2, FEATURES).numpy())
    assert codes.shape == (2, BITS // 8)
    assert model.reconstruct(codes).shape == (2, FEATURES) if model.decoder is not None else True
    assert repr(model)
    model.save_pretrained(folder)
    return "model"


if __name__ == "__main__":
    for model in (small_model(), transformer_model()):
        print(model, dict(outcomes(model, int(sys.argv[1]), int(sys.argv[2]))))
