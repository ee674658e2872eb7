"""The head of product codes: the sheet's numbers, plain loops, packing, and the way to a saved model and an index."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits import DataError, HashModel, Index, UsageError
from kinbits.backbones import load_backbone
from kinbits.hamming import table_topk
from kinbits.heads import ProductHead, build_head
from kinbits.model import Tower

FAR = 100.0


def sheet_head(**options):
    """Return M = 2 parts whose first two words are those of the sheet; the other 14 are far away."""
    head = ProductHead(4, 8, 16, **options)
    head.books.fill_(FAR)
    head.books[0, :2] = torch.tensor([[0.0, 0], [1, 0]])
    head.books[1, :2] = torch.tensor([[0.0, 1], [1, 1]])
    return head


ROWS = torch.tensor([[0.9, 0.1, 0.2, 0.8], [0.1, 0.2, 0.9, 0.7]])
QUERY = torch.tensor([[0.8, 0.3, 0.4, 0.6]])


def random_head(features, bits, words, seed=0, **options):
    head = ProductHead(features, bits, words, **options)
    generator = torch.Generator().manual_seed(seed)
    head.books.normal_(generator=generator)
    return head


def vectors(rows, dims, seed=1):
    return torch.randn(rows, dims, generator=torch.Generator().manual_seed(seed))


def test_worked_codes_and_reconstruction():
    head = sheet_head()
    codes = head.codes(ROWS)
    assert codes.tolist() == [[0x10], [0x01]]
    assert (head.decode(codes) - ROWS).square().sum(1).tolist() == pytest.approx([0.10, 0.15], abs=1e-6)


def test_worked_distances():
    head = sheet_head()
    tables, codes = head.tables(QUERY), head.codes(ROWS)
    assert tables[0, :, :2].tolist() == [pytest.approx([0.73, 0.13]), pytest.approx([0.32, 0.52])]
    distances, rows = table_topk(tables, codes, 2)
    assert distances[0].tolist() == pytest.approx([0.45, 1.25])
    assert rows[0].tolist() == [0, 1]
    distances, _ = table_topk(head.code_tables(head.codes(QUERY)), codes, 2)
    assert distances[0].tolist() == pytest.approx([0.0, 2.0])
    assert (QUERY - ROWS).square().sum(1).tolist() == pytest.approx([0.13, 0.76], abs=1e-6)


@pytest.mark.parametrize(("features", "bits", "words"), [(24, 16, 16), (24, 12, 16), (24, 24, 256), (15, 20, 16)])
def test_the_asymmetric_distance_is_that_to_the_reconstruction(features, bits, words):
    head = random_head(features, bits, words)
    rows, queries = vectors(200, features), vectors(5, features, seed=2)
    codes = head.codes(rows)
    assert codes.shape == (200, -(-bits // 8))
    distances, found = table_topk(head.tables(queries), codes, 200)
    exact = (queries[:, None] - head.decode(codes)).square().sum(2).numpy()
    assert np.allclose(distances, np.take_along_axis(exact, found, 1), atol=1e-4)
    assert np.allclose(distances, np.sort(exact, axis=1), atol=1e-4)


def test_codes_are_the_nearest_words_by_a_loop():
    head = random_head(12, 16, 16)
    for row, numbers in zip(vectors(50, 12), head.numbers(vectors(50, 12)), strict=True):
        for part, number in enumerate(numbers.tolist()):
            away = [float((row[3 * part : 3 * part + 3] - word).square().sum()) for word in head.books[part]]
            assert away[number] == pytest.approx(min(away))


def test_the_inner_product():
    head = random_head(12, 16, 16, metric="inner")
    rows, queries = vectors(60, 12), vectors(3, 12, seed=2)
    codes = head.codes(rows)
    distances, found = table_topk(head.tables(queries), codes, 60)
    exact = -(queries @ head.decode(codes).T).numpy()
    assert np.allclose(distances, np.take_along_axis(exact, found, 1), atol=1e-5)


def test_small_differences_on_large_values_are_kept():
    head = ProductHead(4, 8, 16)
    head.books.copy_(1e4 + 0.01 * torch.arange(16).view(1, 16, 1).expand(2, 16, 2))
    rows = 1e4 + 0.01 * torch.tensor([[3.0, 3, 7, 7]])
    assert head.codes(rows).tolist() == [[0x37]]


@pytest.mark.parametrize(
    ("features", "bits", "words", "message"),
    [
        (12, 20, 16, r"5 parts, which do not divide 12 dimensions; give 16 or 24 bits"),
        (12, 10, 16, "give a multiple of 4"),
        (12, 8, 8, "product codes have 16 or 256 words"),
        (12, 8, 2, "product codes have 16 or 256 words"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(features, bits, words, message):
    with pytest.raises(UsageError, match=message):
        ProductHead(features, bits, words)


def test_an_unknown_metric_is_refused():
    with pytest.raises(UsageError, match="give one of euclidean, cosine, inner"):
        ProductHead(4, 8, 16, metric="manhattan")


@pytest.fixture(params=[(16, 16), (32, 256)], ids=str)
def model(request):
    bits, words = request.param
    return HashModel({"image": Tower(load_backbone("features", dim=16), random_head(16, bits, words))})


def test_a_saved_model_makes_the_same_codes(model, tmp_path):
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    rows = vectors(30, 16).numpy()
    assert (again.bits, again.words, again.fingerprint) == (model.bits, model.words, model.fingerprint)
    assert np.array_equal(again.encode(rows), model.encode(rows))
    assert build_head(model.tower().head.config()).books.shape == model.tower().head.books.shape
    assert model.encode(rows[:0]).shape == (0, model.bits // 8)


def test_words_are_part_of_the_fingerprint(model):
    changed = HashModel({"image": Tower(load_backbone("features", dim=16), random_head(16, model.bits, model.words))})
    assert changed.fingerprint == model.fingerprint
    changed.tower().head.books[0, 0, 0] += 1
    assert changed.fingerprint != model.fingerprint


def test_an_index_finds_the_items_nearest_to_a_query(model, tmp_path):
    rows, query = vectors(300, 16).numpy(), vectors(1, 16, seed=5).numpy()
    model.save_pretrained(tmp_path / "model")
    Index.create(tmp_path / "index", rows, model=model)
    index = Index.open(tmp_path / "index")
    hits = index.search(query[0], k=20)
    rebuilt = model.tower().head.decode(model.encode(rows)).numpy()
    away = np.square(query - rebuilt).sum(1)
    assert np.allclose(hits.distances, np.sort(away)[:20], atol=1e-4)
    symmetric = index.search(model.encode(query)[0], k=5)
    own = np.square(model.tower().head.decode(model.encode(query)).numpy() - rebuilt).sum(1)
    assert np.allclose(symmetric.distances, np.sort(own)[:5], atol=1e-4)
    assert index.search(query, k=2)[0].ids.tolist() == hits.ids[:2].tolist()
    with pytest.raises(UsageError, match="no Hamming distance"):
        index.search(query[0], distance="hamming")
    with pytest.raises(DataError, match="NaN"):
        index.search(np.full(16, np.nan, np.float32))


def test_what_needs_bits_is_refused(model):
    rows = vectors(10, 16).numpy()
    with pytest.raises(UsageError, match="no bits of their own"):
        model.encode(rows, output="bits")
    with pytest.raises(UsageError, match="no thresholds to calibrate"):
        model.calibrate(rows)
    with pytest.raises(UsageError, match="searches bits"):
        kinbits.index.create_index(engine="faiss-hnsw", model=model)
