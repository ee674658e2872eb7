"""Folders of CLIP and SigLIP: a model with texts searches by its text tower, one without keeps no concepts."""

import numpy as np
import pytest
from backbone_helpers import save_random
from PIL import Image

import kinbits
from kinbits import UsageError
from kinbits.cli import main


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    lines = ["file_name,text"]
    for number in range(12):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        lines.append(f"{number:02}.png,{('a red dress', 'two cats on the mat')[number % 2]}")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_texts_go_through_the_text_tower(kind, shop, tmp_path, capsys):
    images, texts = save_random(kind, tmp_path / kind), save_random("bert", tmp_path / "bert")
    options = {"backbone": f"hf:{images}", "text_backbone": f"hf-text:{texts}", "finetune": False, "cache": None}
    model = kinbits.fit(shop, method="djsrh", bits=16, epochs=2, progress=False, **options)
    model.save_pretrained(tmp_path / "model")
    index = kinbits.Index.create(tmp_path / "i", model=model).add(kinbits.open_dataset(shop))
    assert index.info()["concepts"] is None
    hits = index.search(text="a red dress", k=5)
    coded = index.search(model.encode("a red dress", modality="text")[0], k=5)
    assert hits.concepts is None
    assert hits.to_dicts() == coded.to_dicts()
    assert hits.distances.dtype == np.int32
    real = kinbits.Index.open(tmp_path / "i").search(text=["two cats"], k=5, distance="asymmetric")
    assert real[0].distances.dtype == np.float32
    assert main(["search", str(tmp_path / "i"), "--text", "a red dress", "-k", "5"]) == 0
    shown = capsys.readouterr().out
    assert all(str(name) in shown for name in hits.ids)
    with pytest.raises(UsageError, match="gives no concepts"):
        kinbits.Index.create(model=model, concepts=True)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_folder_without_a_tokenizer_gives_an_image_tower_alone(kind, shop, tmp_path):
    folder = save_random(kind, tmp_path / kind)
    (folder / "tokenizer.json").unlink()
    with pytest.warns(UserWarning, match=r"words will not find images of this model: .* has no tokenizer.json"):
        model = kinbits.fit(shop, method="itq", bits=8, backbone=f"hf:{folder}", cache=None, progress=False)
    index = kinbits.Index.create(model=model).add(kinbits.open_dataset(shop))
    with pytest.raises(UsageError, match="no text tower, and the index keeps no concepts"):
        index.search(text="a red dress")
