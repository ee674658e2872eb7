"""Extraction of whole data sets: order, unreadable images, the cache, views, texts and vectors."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from kinbits.backbones import View, compiled, extract, features_of_pixels, load_backbone
from kinbits.data import ArrayItems, BadImage, Dataset, FeatureCache, MappedRows, VectorItems, edit_image
from kinbits.errors import DataError, UsageError

N = 75


class Torn(ArrayItems):
    """Two rows cannot be decoded."""

    bad = (5, 40)

    def image(self, row: int):
        if row in self.bad:
            raise BadImage("truncated file")
        return super().image(row)


def extracted(*given, **options):
    """Extract with the torch engine, which needs no compiling."""
    return extract(*given, engine="torch", **options)


def pictures(kind=ArrayItems, n: int = N) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return Dataset(kind(images), np.array([f"p{row}" for row in range(n)]), name="pictures")


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone("convnet-small")


@pytest.fixture(scope="module")
def plain(backbone):
    data = pictures()
    pixels = np.stack([backbone.preprocessing(data.items.image(row)) for row in range(N)])
    with torch.no_grad():
        return backbone(torch.from_numpy(pixels).float() / 255).numpy()


def test_rows_are_in_order_and_agree_with_torch(backbone, plain):
    got = extract(pictures(), backbone, threads=2)
    assert (got.array.dtype, len(got), got.valid.all()) == (np.float16, N, True)
    np.testing.assert_allclose(got.array, plain, atol=2e-3 * np.abs(plain).max())


def test_unreadable_images_are_masked_and_named(backbone, plain, tmp_path):
    for cache in (None, FeatureCache(tmp_path, chunk=32), FeatureCache(tmp_path, chunk=32)):
        got = extracted(pictures(Torn), backbone, cache=cache, threads=2)
        assert np.flatnonzero(~got.valid).tolist() == [5, 40]
        assert [(item.id, item.reason) for item in got.skipped] == [
            ("p5", "truncated file"),
            ("p40", "truncated file"),
        ]
        np.testing.assert_allclose(got.array[got.valid], plain[got.valid], atol=2e-3 * np.abs(plain).max())


def test_cached_features_need_no_decoding_and_no_graph(backbone, tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path, chunk=32)
    first = np.array(extracted(pictures(), backbone, cache=cache).array)

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(ArrayItems, "image", refuse)
    monkeypatch.setattr("kinbits.backbones.extraction.cached_forward", refuse)
    seen = []
    again = extracted(pictures(), backbone, cache=cache, progress=lambda *told: seen.append(told))
    np.testing.assert_array_equal(again.array, first)
    assert isinstance(again.array, np.memmap)
    assert seen == [(N, N)]


def test_a_graph_is_compiled_once_for_a_backbone_and_its_weights_and_not_for_a_few_rows(monkeypatch):
    made = []
    real = compiled.fast_forward

    def counted(backbone, **how):
        made.append(how["engine"])
        return real(backbone, **{**how, "engine": "torch"})

    monkeypatch.setattr(compiled, "fast_forward", counted)
    torch.manual_seed(2)
    own, many = load_backbone("convnet-small"), pictures(n=compiled.COMPILE_ROWS)
    few = many.select(np.arange(3))
    plain = [extract(few, own).array for _ in range(3)]
    assert made == ["torch"]
    whole = [extract(many, own).array for _ in range(3)]
    assert made == ["torch", "auto"]
    np.testing.assert_allclose(whole[0][:3], plain[0], atol=2e-3)
    extract(few, own)
    assert made == ["torch", "auto"]  # the compiled graph is there already
    with torch.no_grad():
        next(own.parameters()).mul_(2)
    assert not np.array_equal(extract(many, own).array, whole[0])
    assert made == ["torch", "auto", "auto"]
    gone = len(compiled._compiled)
    del own
    gc.collect()
    assert len(compiled._compiled) == gone - 1


def test_pixels_that_are_ready_give_the_same_features(backbone, plain, monkeypatch):
    data = pictures(n=3)
    pixels = np.stack([backbone.preprocessing(data.items.image(row)) for row in range(3)])
    got = features_of_pixels(pixels, backbone)
    assert (got.array.dtype, got.valid.tolist(), got.skipped) == (np.float16, [True] * 3, ())
    np.testing.assert_allclose(got.array, plain[:3], atol=2e-3 * np.abs(plain).max())
    assert len(features_of_pixels(pixels[:0], backbone)) == 0
    with pytest.raises(UsageError, match=r"float32 \(3, 3, 32, 32\); backbone 'convnet-small' reads uint8"):
        features_of_pixels(pixels.astype(np.float32), backbone)
    with pytest.raises(UsageError, match="reads no images"):
        features_of_pixels(pixels, load_backbone("features", dim=3))


def test_preprocessing_needs_no_torch():
    code = "import sys, kinbits.backbones.preprocessing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_changed_weights_or_rows_are_another_entry(backbone, tmp_path):
    cache = FeatureCache(tmp_path)
    torch.manual_seed(1)
    other = load_backbone("convnet-small")
    arrays = [
        extracted(pictures(), backbone, cache=cache).array,
        extracted(pictures(), other, cache=cache).array,
        extract(pictures().select(np.arange(N)[::-1]), backbone, cache=cache).array,
    ]
    assert len(list(tmp_path.iterdir())) == 3
    # reversed rows meet in other batches, whose sums may differ in the last bit
    np.testing.assert_allclose(arrays[0], arrays[2][::-1], atol=2e-3)
    assert not np.array_equal(arrays[0], arrays[1])


class TestViews:
    def test_edits_see_whole_images_and_each_row_has_its_seed(self, backbone, tmp_path, monkeypatch):
        shapes = []

        def noted(image, *given, **options):
            shapes.append(image.size)
            return edit_image(image, *given, **options)

        monkeypatch.setattr("kinbits.data.transforms.edit_image", noted)
        wide = np.random.default_rng(0).integers(0, 256, (3, 90, 1600, 3)).astype(np.uint8)
        large = Dataset(ArrayItems(wide), np.array(["a", "b", "c"]), name="large")
        first = extracted(large, backbone, view=View("edits")).array
        assert (768, 43) in shapes  # an image of 1600 x 90, scaled down first
        alone = extracted(large.select(np.arange(1)), backbone, cache=FeatureCache(tmp_path), view=View("edits"))
        np.testing.assert_allclose(alone.array, first[:1], atol=2e-3 * np.abs(first).max())
        assert not np.array_equal(extracted(large, backbone, view=View("edits", number=1)).array, first)

    def test_same_view_again_and_other_views_differ(self, backbone):
        views = [
            View("two_view", 0, 0),
            View("two_view", 0, 0),
            View("two_view", 0, 1),
            View("two_view", 1, 0),
        ]
        got = [np.array(extracted(pictures(), backbone, view=view).array) for view in views]
        np.testing.assert_array_equal(got[0], got[1])
        for other in got[2:]:
            assert (got[0] != other).any(axis=1).mean() > 0.9

    def test_cache_and_memory_agree(self, backbone, tmp_path):
        view = View("weak")
        cached = extracted(pictures(), backbone, cache=FeatureCache(tmp_path, chunk=32), view=view).array
        np.testing.assert_allclose(extracted(pictures(), backbone, view=view).array, cached, atol=1e-3)

    def test_the_runs_own_generator_is_not_moved(self, backbone):
        torch.manual_seed(3)
        before = torch.random.get_rng_state()
        extract(pictures(n=4), backbone, view=View("two_view"))
        assert torch.equal(torch.random.get_rng_state(), before)


def test_texts_come_back_in_their_order():
    texts = tuple(f"{'very ' * (row % 7)}long text number {row}" for row in range(40))
    data = Dataset(VectorItems(np.zeros((40, 2), np.float32)), np.arange(40), texts=texts)
    backbone = load_backbone("minilm")
    got = extract(data, backbone, threads=2)
    with torch.no_grad():
        np.testing.assert_allclose(got.array, backbone(**backbone.tokenize(texts)), atol=1e-3)


def test_vectors_pass_and_infinite_ones_are_named(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    vectors[2, 1] = np.inf
    data = Dataset(VectorItems(vectors), np.arange(4))
    got = extracted(data, load_backbone("features", dim=3), cache=FeatureCache(tmp_path))
    np.testing.assert_array_equal(got.array, vectors)
    assert got.valid.tolist() == [True, True, False, True]
    assert "not finite" in got.skipped[0].reason
    assert not list(tmp_path.iterdir())


def test_empty_data_set(backbone):
    assert extract(pictures().select(np.arange(0)), backbone).array.shape == (0, 384)


@pytest.mark.parametrize(
    ("name", "options", "view", "told"),
    [
        ("minilm", {}, None, "no texts"),
        ("features", {"dim": 3}, None, "use an image backbone"),
    ],
)
def test_wrong_modality_is_explained(name, options, view, told):
    with pytest.raises(DataError, match=told):
        extracted(pictures(), load_backbone(name, **options), view=view)


def test_features_that_stay_on_disk_go_to_other_processes(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    stored = np.load(tmp_path / "v.npy", mmap_mode="r")
    backbone = load_backbone("features", dim=4, normalise=True)
    found = extracted(Dataset(VectorItems(stored), np.arange(6)), backbone, mapped=True).array
    assert isinstance(found, MappedRows)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), found)


def test_vectors_of_another_width_and_images_for_vectors(backbone):
    data = Dataset(VectorItems(np.zeros((4, 3), np.float32)), np.arange(4))
    with pytest.raises(DataError, match="5 numbers each are read; give such vectors"):
        extract(data, load_backbone("features", dim=5))
    with pytest.raises(DataError, match="backbone for vectors"):
        extract(data, backbone)
    with pytest.raises(DataError, match="images only"):
        extract(data, load_backbone("features", dim=3), view=View("weak"))
