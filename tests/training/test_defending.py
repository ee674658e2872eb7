"""Defences in a run: they wrap any method, resume, leave no trace in undefended epochs, and harden codes."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits import DataError, UsageError
from kinbits.attacks import Reference, build_attack, multi_hot
from kinbits.backbones import load_backbone
from kinbits.defences import Defence, build_defence, list_defences, register_defence
from kinbits.methods import Spec, build_method, get_method
from kinbits.robustness import victim_of
from kinbits.training import PixelSet, TrainingSettings, defence_text, train

SIZE, CLASSES = 16, 3
DEFENCES = ("saat", "cgat", "atrdh")


class Pixels:
    """Noisy squares of three colours."""

    def __init__(self, rows=60, seed=0):
        rng = np.random.default_rng(seed)
        self.labels = np.arange(rows) % CLASSES
        images = rng.integers(0, 120, (rows, 3, SIZE, SIZE))
        for row, label in enumerate(self.labels):
            images[row, label] += 100
        self.images = images.astype(np.uint8)

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return self.images[rows]


def trained(method="hashnet", settings=None, labels=True, **options):
    torch.manual_seed(0)
    pixels, backbone = Pixels(), load_backbone("convnet-small", size=SIZE)
    space = kinbits.LabelSpace(tuple("abc"))
    built = build_method(method, Spec(16, 384, len(pixels), space))
    data = PixelSet(pixels, backbone, labels=pixels.labels.astype(np.int64) if labels else None)
    known = {"epochs": 2, "batch_size": 20, "backbone_lr": 1e-3, "progress": False, "accelerator": "cpu"}
    history = train(built, data, settings or TrainingSettings(**{**known, **options}))
    return built, backbone, history


def weights(built, backbone):
    return torch.cat([value.float().flatten() for part in (built, backbone) for value in part.state_dict().values()])


def test_the_defences_are_known():
    assert set(DEFENCES) <= set(list_defences())


@pytest.mark.parametrize("defence", DEFENCES)
@pytest.mark.parametrize("method", ["hashnet", "cibhash", "greedyhash"])
def test_a_defence_wraps_a_method_and_its_terms_are_logged(defence, method):
    *_, history = trained(method, defence=defence, defence_params={"steps": 1})
    first, second = history.epochs
    assert "adversarial" not in first
    assert np.isfinite(second["adversarial"])
    assert second["loss"] == pytest.approx(sum(value for name, value in second.items() if name != "loss"))


@pytest.mark.parametrize("defence", DEFENCES)
def test_epochs_before_the_defence_are_those_without(defence):
    """One epoch of two is undefended: its record is that of a run without a defence."""
    plain = trained(epochs=2)[2].epochs[0]
    assert trained(defence=defence, defence_params={"steps": 1})[2].epochs[0] == plain


@pytest.mark.parametrize("defence", DEFENCES)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(defence, tmp_path, monkeypatch):
    options = {"defence": defence, "defence_params": {"steps": 1, "start": 0.0}, "epochs": 3}
    whole = weights(*trained(**options)[:2])
    folder = tmp_path / "checkpoints"

    hashnet = get_method("hashnet")
    start = hashnet.start_epoch

    def stop(self, epoch, view):
        start(self, epoch, view)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hashnet, "start_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoints=folder, **options)
    resumed = weights(*trained(checkpoints=folder, resume=True, **options)[:2])
    assert torch.equal(whole, resumed)


def test_a_checkpoint_of_another_defence_is_refused(tmp_path):
    trained(checkpoints=tmp_path, defence="saat", defence_params={"steps": 1})
    with pytest.raises(kinbits.ArtefactError, match="another defence"):
        trained(checkpoints=tmp_path, resume=True, defence="cgat", defence_params={"steps": 1})


def test_codes_are_harder_to_change():
    images, labels = Pixels(seed=1).images[:30], Pixels(seed=1).labels[:30]
    pixels = torch.from_numpy(images).float() / 255
    flipped = {}
    for defence in (None, "saat"):
        params = {"epsilon": 0.1, "step_size": 0.03} if defence else {}
        built, backbone, _ = trained(epochs=8, defence=defence, defence_params=params, lr=1e-3)
        model = kinbits.HashModel({"image": kinbits.model.Tower(backbone, built.head)}, {"name": "hashnet"}, {})
        victim = victim_of(model)
        codes = victim.codes(pixels)
        known = Reference(codes, multi_hot(labels, CLASSES))
        made = build_attack("pgd", epsilon=0.1, steps=10)(victim, pixels, reference=known)
        flipped[defence] = float((victim.codes(made) != codes).float().mean())
    assert flipped["saat"] < 0.7 * flipped[None]


def test_batch_statistics_and_modes_are_those_of_training():
    seen = []

    class Watching(Defence):
        def terms(self, batch):
            before = {k: v.clone() for k, v in batch.victim.network.state_dict().items()}
            images = self.attacked(batch, lambda relaxed: relaxed.mean(dim=1))
            after = batch.victim.network.state_dict()
            seen.append(all(torch.equal(before[k], after[k]) for k in before) and batch.victim.network.training)
            seen.append(float((images - batch.images).abs().max()) <= 8 / 255 + 1e-6)
            return {"adversarial": batch.victim.logits(images).square().mean() * 0}

    register_defence("watching")(Watching)
    trained(defence="watching", defence_params={"steps": 2})
    assert seen
    assert all(seen)


def test_rows_without_a_label_are_not_attacked():
    torch.manual_seed(0)
    pixels, backbone = Pixels(), load_backbone("convnet-small", size=SIZE)
    labels = np.where(np.arange(60) < 30, pixels.labels, -1).astype(np.int64)
    counts = []

    class Counting(Defence):
        def terms(self, batch):
            assert bool(batch.labels.any(dim=1).all())
            counts.append(len(batch.images))
            return {"adversarial": batch.victim.logits(batch.images).sum() * 0}

    register_defence("counting")(Counting)
    built = build_method("cibhash", Spec(16, 384, 60, kinbits.LabelSpace(tuple("abc"))))
    settings = TrainingSettings(
        epochs=1, batch_size=20, defence="counting", progress=False, accelerator="cpu", backbone_lr=1e-3
    )
    train(built, PixelSet(pixels, backbone, labels=labels), settings)
    assert sum(counts) == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"defence": "sat"}, "saat"),
        ({"defence": "saat", "defence_params": {"step": 1}}, "steps"),
        ({"defence": "saat", "defence_params": {"start": 1.0}}, "start=1.0"),
        ({"defence": "saat", "defence_params": {"weight": -1.0}}, "weight is -1"),
        ({"defence_params": {"steps": 1}}, "give one"),
        ({"defence": "saat", "devices": 2}, "one process"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TrainingSettings(**options)


def folder_of(images, labels=None):
    return kinbits.open_dataset(images.transpose(0, 2, 3, 1), labels=labels)


def test_a_model_says_how_it_was_defended(tmp_path):
    pixels = Pixels(30)
    data = folder_of(pixels.images, [str(label) for label in pixels.labels])
    options = {"backbone": "convnet-small", "image_size": SIZE, "bits": 8, "epochs": 2, "progress": False}
    model = kinbits.fit(data, method="hashnet", defence="cgat", defence_params={"steps": 2}, **options)
    assert model.training["defence"]["params"] == {**model.training["defence"]["params"], "steps": 2, "weight": 1.0}
    model.save_pretrained(tmp_path / "m")
    assert "| defence | `cgat` (epsilon=0.0314, steps=2, " in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (True, {"backbone": "efficientnet_lite0", "image_size": 32}, UsageError, "stays frozen"),
        (False, {"method": "cibhash", "backbone": "convnet-small"}, DataError, "follows labels"),
        (True, {"method": "itq", "backbone": "convnet-small"}, UsageError, "no epochs"),
    ],
)
def test_runs_that_no_defence_fits_are_refused(labels, options, error, message):
    pixels = Pixels(30)
    data = folder_of(pixels.images, [str(label) for label in pixels.labels] if labels else None)
    with pytest.raises(error, match=message):
        kinbits.fit(data, **{"method": "hashnet", "bits": 8, "defence": "saat", "progress": False, **options})


def test_an_epoch_without_attacks_is_never_kept():
    pixels = Pixels(60)
    data = folder_of(pixels.images, [str(label) for label in pixels.labels])
    options = {"backbone": "convnet-small", "image_size": SIZE, "bits": 8, "epochs": 6, "progress": False}
    held = {"validation": 0.3, "patience": 1, "defence": "saat", "defence_params": {"steps": 1}}
    training = kinbits.fit(data, method="hashnet", **options, **held).training
    assert training["best_epoch"] > 3
    assert "adversarial" in training["history"][training["best_epoch"] - 1]


@pytest.mark.parametrize(("method", "params"), [("dqn", {"words": 16}), ("nmlayer", {})])
def test_methods_that_learn_other_codes_are_refused_before_they_train(method, params):
    pixels = Pixels(60)
    data = folder_of(pixels.images, [str(label) for label in pixels.labels])
    options = {"backbone": "convnet-small", "image_size": SIZE, "bits": 8, "epochs": 2, "progress": False}
    with pytest.raises(UsageError, match="leave the defence out"):
        kinbits.fit(data, method=method, params=params, defence="saat", **options)


def test_a_defence_is_told_with_parameters_of_any_kind():
    found = defence_text({"defence": {"name": "x", "params": {"code": "own", "weight": 0.12345, "on": True}}})
    assert found == "`x` (code=own, weight=0.123, on=True)"


def test_vectors_have_no_pixels():
    data = kinbits.open_dataset(np.eye(20, 8, dtype=np.float32), labels=["a", "b"] * 10)
    with pytest.raises(UsageError, match="attacks pixels"):
        kinbits.fit(data, method="hashnet", bits=4, defence="saat")


def test_a_defence_has_a_default_for_everything():
    assert build_defence("saat").attack.epsilon == pytest.approx(8 / 255)
