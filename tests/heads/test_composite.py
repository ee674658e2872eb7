"""The head of composite codes: sums of words, codes that no single change improves, and the inner product."""

import numpy as np
import pytest
import torch

from kinbits import HashModel, UsageError
from kinbits.backbones import load_backbone
from kinbits.hamming import table_topk
from kinbits.heads import CompositeHead, ProductHead, build_head
from kinbits.model import Tower


def random_head(features=6, bits=12, words=16, dims=6, **options):
    head = CompositeHead(features, bits, words, dims, **options)
    generator = torch.Generator().manual_seed(0)
    head.books.normal_(generator=generator)
    head.axes.normal_(generator=generator)
    return head


def vectors(rows, dims=6, seed=1):
    return torch.randn(rows, dims, generator=torch.Generator().manual_seed(seed))


def error(head, row, numbers):
    left = row - sum(book[k] for book, k in zip(head.books, numbers, strict=True))
    return float((head.axes @ left if len(head.axes) else left).square().sum())


@pytest.mark.parametrize("directions", [0, 2])
def test_no_change_of_one_word_improves_a_code(directions):
    head = random_head(directions=directions)
    for row, numbers in zip(vectors(20), head.numbers(vectors(20)).tolist(), strict=True):
        best = error(head, row, numbers)
        for part in range(3):
            for k in range(16):
                other = [*numbers[:part], k, *numbers[part + 1 :]]
                assert error(head, row, other) >= best - 1e-5


def test_the_error_does_not_grow_from_a_start():
    head, z = random_head(), vectors(5000)
    start = torch.randint(16, (5000, 3))
    before = (z - head.rebuilt(start)).square().sum(1)
    after = (z - head.rebuilt(head.numbers(z, start))).square().sum(1)
    assert bool((after <= before + 1e-4).all())
    assert torch.equal(head.numbers(z)[4090:4100], head.numbers(z[4090:4100]))  # over the bound of two blocks


def test_no_vectors_have_no_codes():
    assert random_head().codes_of(vectors(0)).shape == (0, 2)


def test_words_in_blocks_give_product_codes():
    product, head = ProductHead(6, 12, 16), random_head()
    product.books.normal_()
    head.books.zero_()
    for part in range(3):
        head.books[part, :, 2 * part : 2 * part + 2] = product.books[part]
    assert torch.equal(head.numbers(vectors(100)), product.numbers(vectors(100)))
    codes = product.codes_of(vectors(100))
    assert torch.equal(head.decode(codes), product.decode(codes))


@pytest.mark.parametrize(("bits", "words"), [(12, 16), (16, 16), (24, 256)])
def test_tables_hold_the_inner_product_with_what_codes_stand_for(bits, words):
    head = random_head(bits=bits, words=words)
    z = vectors(50)
    codes = head.codes_of(z)
    distances, found = table_topk(head.tables_of(vectors(3, seed=2)), codes, 50)
    exact = -(vectors(3, seed=2) @ head.decode(codes).T).numpy()
    assert np.allclose(distances, np.take_along_axis(exact, found, 1), atol=1e-4)
    own, _ = table_topk(head.code_tables(codes[:1]), codes[:1], 1)
    assert float(own[0, 0]) == pytest.approx(-float(head.decode(codes[:1]).square().sum()), rel=1e-4)


def test_outputs_are_centred_and_bounded():
    head, x = CompositeHead(8, 8, 16, 8), vectors(100, 8) + 5
    head.standardise([x])
    with torch.no_grad():
        z = head(x)
    assert float(z.abs().max()) <= 1
    assert float(z.mean().abs()) < 0.1


def test_a_saved_model_makes_the_same_codes(tmp_path):
    head = random_head(16, 16, 16, 12, directions=5)
    torch.nn.init.normal_(head.layers.weight)
    model = HashModel({"image": Tower(load_backbone("features", dim=16), head)})
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert np.array_equal(again.encode(vectors(30, 16).numpy()), model.encode(vectors(30, 16).numpy()))
    assert build_head(head.config()).config() == head.config()


@pytest.mark.parametrize(
    ("bits", "words", "dims", "message"),
    [
        (24, 16, 5, "give them at least dims=6, not 5"),
        (512, 256, 64, "at most 8192 words, so give 256 bits or less"),
        (8, 2, 64, "product codes have 16 or 256 words"),
        (10, 16, 64, "give a multiple of 4"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(bits, words, dims, message):
    with pytest.raises(UsageError, match=message):
        CompositeHead(6, bits, words, dims)
