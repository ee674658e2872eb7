"""What a user would lose if augmentation broke: repeatable runs, and views that still are the image."""

from __future__ import annotations

import pytest
import torch

from kinbits.data import augmentation
from kinbits.data.transforms import augmentations, register_augmentation
from kinbits.errors import UsageError

SIZE = 24


@pytest.fixture
def batch() -> torch.Tensor:
    torch.manual_seed(5)
    coarse = torch.rand(6, 3, 6, 6)
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")


@pytest.mark.parametrize("name", [name for name in augmentations() if name != "none"])
class TestEvery:
    def test_shape_range_and_input_left_alone(self, name, batch):
        before = batch.clone()
        view = augmentation(name, SIZE)(batch)
        assert view.shape == batch.shape
        assert view.dtype == torch.float32
        assert 0 <= view.min() <= view.max() <= 1
        assert torch.equal(batch, before)

    def test_seed_repeats_and_other_seed_differs(self, name, batch):
        steps = augmentation(name, SIZE)
        views = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            views.append(steps(batch))
        assert torch.equal(views[0], views[1])
        assert not torch.equal(views[0], views[2])

    def test_each_image_gets_its_own_draw(self, name, batch):
        torch.manual_seed(0)
        same = augmentation(name, SIZE)(batch[:1].expand(6, -1, -1, -1).contiguous())
        assert len({tuple(image.flatten().tolist()) for image in same}) > 1

    def test_a_view_is_nearer_to_its_image_than_to_others(self, name, batch):
        torch.manual_seed(0)
        views = augmentation(name, SIZE)(batch)
        small = [torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) for x in (views, batch)]
        small = [x - batch.mean((0, 2, 3)).repeat_interleave(4) for x in small]
        nearest = torch.cdist(torch.nn.functional.normalize(small[0]), torch.nn.functional.normalize(small[1]))
        assert (nearest.argmin(1) == torch.arange(6)).sum() >= 3  # chance is 1

    def test_empty_batch(self, name):
        assert augmentation(name, SIZE)(torch.zeros(0, 3, SIZE, SIZE)).shape == (0, 3, SIZE, SIZE)


def test_none_changes_nothing(batch):
    assert torch.equal(augmentation("none", SIZE)(batch), batch)


def test_weak_only_moves_pixels(batch):
    torch.manual_seed(0)
    view = augmentation("weak", SIZE)(batch)
    for one, image in zip(view, batch, strict=True):
        assert set(one[0].flatten().tolist()) <= set(image[0].flatten().tolist())


def test_crops_keep_colours_and_direction():
    """Mirrored digits and recoloured stains are something else."""
    ramp = torch.linspace(0.1, 0.9, SIZE).expand(SIZE, SIZE)
    image = torch.stack([ramp, ramp, 0.5 * ramp])
    torch.manual_seed(0)
    for view in augmentation("crops", SIZE)(image.expand(20, -1, -1, -1).contiguous()):
        assert (view[:, :, 1:] >= view[:, :, :-1] - 1e-5).all()
        torch.testing.assert_close(view[2], 0.5 * view[0])


def test_unknown_name_suggests():
    with pytest.raises(UsageError, match="did you mean two_view"):
        augmentation("two_vew", SIZE)


def test_impossible_size():
    with pytest.raises(UsageError, match="0 pixels"):
        augmentation("weak", 0)


def test_taken_name_is_refused():
    with pytest.raises(UsageError, match="taken"):
        register_augmentation("weak")(lambda size: torch.nn.Identity())
