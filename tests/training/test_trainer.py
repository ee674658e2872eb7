"""The trainer: repeatable, resumable, the same on several processes, and honest about validation."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.errors import ArtefactError
from kinbits.methods import Method, Spec, build_method, register
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train
from kinbits.training.validation import Validation

ROWS, CLASSES, WIDTH = 90, 3, 12
SPACE = LabelSpace(("a", "b", "c"))


def features(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(ROWS) % CLASSES
    centres = np.random.default_rng(99).normal(size=(CLASSES, WIDTH))
    return (centres[labels] + rng.normal(size=(ROWS, WIDTH))).astype(np.float32), labels


def method(name="orthohash", seed=0, **params):
    torch.manual_seed(seed)
    return build_method(name, Spec(16, WIDTH, ROWS, SPACE, seed=seed), **params)


def data():
    return FeatureSet(*features())


def settings(**more):
    return TrainingSettings(**{"epochs": 4, "batch_size": 20, "progress": False, "accelerator": "cpu", **more})


def state(trained):
    return {key: value.clone() for key, value in trained.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"lr": "1e-3"}, "lr is '1e-3'; give a number"),
        ({"epochs": 2.5}, "epochs is 2.5; give a whole number"),
        ({"optimizer": "sdg"}, "optimizer is 'sdg'; give one of adam, adamw, sgd"),
        ({"precision": "fp8"}, "precision is 'fp8'; give one of 32-true"),
        ({"pretrain": 3}, "pretrain is 3; give text"),
        ({"augmentation": None}, "augmentation is None; give text"),
    ],
)
def test_a_setting_of_another_type_is_refused(wrong, told):
    with pytest.raises(UsageError, match=told):
        TrainingSettings(**wrong)


def test_one_seed_gives_one_result_and_another_seed_another():
    runs = []
    for seed in (0, 0, 1):
        trained = method(seed=seed)
        train(trained, data(), settings(seed=seed))
        runs.append(state(trained))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_resume_continues_to_the_same_result(tmp_path):
    whole = method("hashnet")
    train(whole, data(), settings(epochs=6))
    part = method("hashnet")
    run = settings(epochs=6, checkpoints=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(part, _Interrupted(*features()), run)
    again = method("hashnet", seed=5)  # other initial weights: everything must come from the checkpoint
    train(again, data(), settings(epochs=6, checkpoints=tmp_path, resume=True))
    assert same(state(whole), state(again))


class _Interrupted(FeatureSet):
    """Stops the run in the middle of its third epoch."""

    calls = 0

    def batch(self, rows, seed):
        self.calls += 1
        if self.calls == 13:
            raise KeyboardInterrupt
        return super().batch(rows, seed)


def test_resume_refuses_another_runs_checkpoint(tmp_path):
    train(method(), data(), settings(checkpoints=tmp_path))
    with pytest.raises(ArtefactError, match=r"recipe.lr"):
        train(method(), data(), settings(checkpoints=tmp_path, resume=True, lr=0.5))


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(ArtefactError, match=r"last.ckpt"):
        train(method(), data(), settings(checkpoints=tmp_path, resume=True))


def test_validation_chooses_the_best_epoch_and_patience_stops():
    held = FeatureSet(*features(seed=3))
    trained = method()
    history = train(trained, data(), settings(epochs=30, validation=0.2, patience=2), held)
    scores = [record["validation"] for record in history.epochs]
    assert history.best_epoch == int(np.argmax(scores))
    assert history.stopped_early == (len(scores) < 30)
    if history.stopped_early:
        assert len(scores) == history.best_epoch + 3


def test_validation_needs_no_labels():
    history = train(method("lsh"), FeatureSet(features()[0]), settings(validation=0.2), FeatureSet(features(3)[0]))
    assert history.epochs == []
    images = features()[0]
    unsupervised = build_method("cibhash", Spec(16, WIDTH, ROWS))
    views = [images + 0.01, images - 0.01]
    history = train(unsupervised, FeatureSet(images, views=views), settings(validation=0.2), FeatureSet(features(3)[0]))
    assert 0 < history.epochs[-1]["validation"] <= 1


def test_a_last_batch_of_one_row_is_left_out():
    history = train(method(), data(), settings(batch_size=89))  # batch normalisation cannot take one row
    assert np.isfinite(history.epochs[-1]["loss"])


def test_fewer_rows_than_a_batch_are_one_batch():
    assert len(train(method(), data(), settings(batch_size=1000)).epochs) == 4


def test_one_row_is_refused():
    few = FeatureSet(features()[0][:1], features()[1][:1])
    with pytest.raises(DataError, match="at least 2"):
        train(method(), few, settings())


def test_a_diverged_loss_is_an_error_with_a_remedy():
    with pytest.raises(DataError, match=r"lower lr, .* by the setting clip, e\.g\. 1\.0"):
        train(method("hashnet"), data(), settings(lr=float("1e38"), optimizer="sgd", weight_decay=1e5))


@pytest.mark.parametrize(("name", "judges"), [("itq", False), ("orthohash", True)])
def test_labels_choose_an_epoch_only_for_methods_that_learn_from_them(name, judges):
    draws = [np.random.default_rng(seed).integers(0, CLASSES, ROWS) for seed in (1, 2)]
    one, two = (Validation(method(name), FeatureSet(features()[0], labels)).score() for labels in draws)
    assert (one != two) == judges


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": -1}, {"validation": 0.9}, {"precision": "8-bit"}, {"patience": 3}, {"resume": True}, {"batch_size": 1}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        TrainingSettings(**wrong)


def test_mixed_precision_trains():
    history = train(method(), data(), settings(epochs=12, precision="bf16-mixed"))
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]


def test_clipping_bounds_the_step():
    free, bound = method("hashnet"), method("hashnet")
    before = state(free)
    for trained, clip in ((free, None), (bound, 1e-4)):
        train(
            trained,
            data(),
            settings(epochs=1, batch_size=ROWS, optimizer="sgd", lr=1.0, weight_decay=0.0, clip=clip),
        )
    name = "head.layers.weight"
    assert (state(bound)[name] - before[name]).norm() <= 1.01e-4
    assert (state(free)[name] - before[name]).norm() > 1e-3


def test_a_backbone_has_a_weight_decay_of_its_own():
    def shrunk(**decay):
        """How much smaller head and backbone are after one step of AdamW without a gradient to speak of."""
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH))
        trained = method()
        weights = trained.head.layers[0].weight, backbone[1].weight
        before = [weight.norm().item() for weight in weights]
        run = settings(epochs=1, batch_size=ROWS, optimizer="adamw", lr=1e-6, backbone_lr=1e-6, **decay)
        train(trained, PixelSet(Pixels(ROWS), backbone, labels=(np.arange(ROWS) % CLASSES).astype(np.int64)), run)
        after = [weight.norm().item() for weight in weights]
        return [round(b / a, 2) for a, b in zip(before, after, strict=True)]

    assert shrunk(weight_decay=1e5) == [0.9, 0.9]  # 1 - lr weight_decay
    assert shrunk(weight_decay=1e5, backbone_weight_decay=0.0) == [0.9, 1.0]


def test_a_small_set_is_passed_over_until_there_are_enough_steps():
    from kinbits.methods import Recipe

    recipe = Recipe(epochs=3, batch_size=10, min_steps=40)
    few, many = (TrainingSettings().recipe(recipe, rows) for rows in (50, 1000))
    assert (few.epochs, many.epochs) == (8, 3)
    assert TrainingSettings(epochs=2).recipe(recipe, 50).epochs == 2  # what is given holds
    trained = method()
    trained.recipe = Recipe(epochs=1, batch_size=44, min_steps=6)
    assert len(train(trained, data(), TrainingSettings(progress=False)).epochs) == 3  # 88 rows: two steps each


def test_schedules_lower_the_rate():
    from kinbits.methods import Recipe
    from kinbits.training.loop import rate_factor

    step, cosine = Recipe(epochs=10, schedule="step"), Recipe(epochs=10, schedule="cosine")
    assert [rate_factor(step, e) for e in (0, 7, 8)] == [1.0, 1.0, 0.1]
    assert rate_factor(cosine, 0) == 1
    assert rate_factor(cosine, 5) == pytest.approx(0.5)


class Pixels:
    """Small random images with a class-dependent colour."""

    def __init__(self, rows):
        rng = np.random.default_rng(0)
        colour = rng.integers(0, 255, (CLASSES, 3, 1, 1))
        self.images = np.clip(colour[np.arange(rows) % CLASSES] + rng.integers(-60, 60, (rows, 3, 8, 8)), 0, 255)

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return self.images[rows].astype(np.uint8)


def tuned(devices, name="orthohash"):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU())
    trained = method(name)
    labels = (np.arange(ROWS) % CLASSES).astype(np.int64)
    run = settings(devices=devices, batch_size=21, optimizer="sgd", lr=0.05, backbone_lr=0.05)
    history = train(trained, PixelSet(Pixels(ROWS), backbone, labels=labels), run)
    return [record["loss"] for record in history.epochs], state(trained), backbone.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orthohash", "hashnet", "dmuh", "barlow-twins"])
def test_two_processes_follow_the_curve_of_one(name):
    """Batch statistics and pairs span both processes; 21 rows do not divide evenly between them."""
    alone, weights, backbone = tuned(1, name)
    together, other_weights, other_backbone = tuned(2, name)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    for key, value in backbone.items():
        torch.testing.assert_close(other_backbone[key], value, rtol=1e-3, atol=1e-3)
    for key, value in weights.items():
        torch.testing.assert_close(other_weights[key], value, rtol=1e-3, atol=1e-3)


@register("looks-at-features")
class LooksAtFeatures(Method):
    """Notes by how much the processes' features differ where methods decide from them."""

    supervision = "none"

    def __init__(self, spec):
        super().__init__(spec)
        from kinbits.heads import Linear

        self.head = Linear(spec.feature_dim, spec.bits)
        self.register_buffer("apart", torch.full((), -1.0))

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}

    def end_epoch(self, epoch, train):
        mine = train.features()
        total = mine.clone()
        torch.distributed.all_reduce(total)
        self.apart.copy_((total - 2 * mine).abs().max())


@pytest.mark.slow
def test_processes_decide_from_the_same_features():
    """Batch normalisation keeps running means of each process's own share."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH), nn.BatchNorm1d(WIDTH))
    trained = LooksAtFeatures(Spec(8, WIDTH, ROWS))
    train(trained, PixelSet(Pixels(ROWS), backbone), settings(devices=2, epochs=1))
    assert trained.apart == 0


def test_a_trained_backbone_moves_with_its_own_rate():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH))
    before = backbone[1].weight.detach().clone()
    labels = (np.arange(ROWS) % CLASSES).astype(np.int64)
    run = settings(epochs=1, optimizer="sgd", lr=0.0001, backbone_lr=1e-12, weight_decay=0.0)
    train(method(), PixelSet(Pixels(ROWS), backbone, labels=labels), run)
    slow = (backbone[1].weight - before).abs().max()
    train(method(), PixelSet(Pixels(ROWS), backbone, labels=labels), settings(epochs=1, backbone_lr=1e-2))
    assert slow < 1e-6 < (backbone[1].weight - before).abs().max()


@register("two-optimizers")
class TwoOptimizers(Method):
    """Two towers that must each be moved by their own optimizer."""

    supervision = "none"

    def __init__(self, spec):
        super().__init__(spec)
        from kinbits.heads import Linear

        self.head, self.other = Linear(spec.feature_dim, spec.bits), Linear(spec.feature_dim, spec.bits)

    def parameter_lists(self):
        return [list(self.head.parameters()), list(self.other.parameters())]

    def step(self, batch, optimizers):
        first = self.head(batch.features).square().mean()
        optimizers[0].minimise(first)
        second = self.other(batch.features).square().mean()
        optimizers[1].minimise(second)
        return {"first": first, "second": second}


def test_a_method_may_own_its_step_and_several_optimizers():
    torch.manual_seed(0)
    trained = TwoOptimizers(Spec(8, WIDTH, ROWS))
    history = train(trained, data(), settings(epochs=10))
    for term in ("first", "second"):
        assert history.epochs[-1][term] < 0.9 * history.epochs[0][term]


KILLED = """
import os, signal, sys
import numpy as np
import kinbits
from kinbits.training import loop
folder, epochs, kill_at = sys.argv[1], 8, int(sys.argv[2])
original = loop.TrainingLoop._epoch
def epoch(self, number, progress):
    record = original(self, number, progress)
    if number == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return record
loop.TrainingLoop._epoch = epoch
rng = np.random.default_rng(0)
labels = np.arange(120) % 4
vectors = (rng.normal(size=(4, 16))[labels] + rng.normal(size=(120, 16))).astype("float32")
data = kinbits.open_dataset(vectors, labels=labels)
from pathlib import Path
model = kinbits.fit(data, method=sys.argv[3], bits=16, epochs=epochs, progress=False, cache=None,
                    checkpoints=Path(folder) / "checkpoints", resume=sys.argv[4] == "resume")
np.save(Path(folder) / "codes.npy", model.encode(vectors))
"""


def _fit_in_a_process(folder, kill_at, name, how):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(folder), str(kill_at), name, how]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orthohash", "adsh"])
def test_kill_9_and_resume_give_the_codes_of_an_unbroken_run(tmp_path, name):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    done = _fit_in_a_process(whole, -1, name, "new")
    assert done.returncode == 0, done.stderr
    assert _fit_in_a_process(broken, 4, name, "new").returncode == -signal.SIGKILL
    assert not (broken / "codes.npy").exists()
    done = _fit_in_a_process(broken, -1, name, "resume")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(whole / "codes.npy"), np.load(broken / "codes.npy"))


def test_nothing_random_is_left_to_the_global_state():
    first, second = method("dsah"), method("dsah")
    train(first, data(), settings())
    torch.manual_seed(12345)
    np.random.default_rng(5).random(3)
    train(second, data(), settings())
    assert same(state(first), state(second))


def test_progress_in_a_log_is_a_line_not_a_bar(capsys):
    train(method(), data(), settings(progress=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "trained orthohash: 4 epochs, loss" in captured.err


def test_the_line_that_stays_names_the_best_epoch_and_its_score(capsys):
    history = train(method(), data(), settings(progress=True, validation=0.2), FeatureSet(*features(seed=3)))
    best = history.epochs[history.best_epoch]
    said = f"best epoch {history.best_epoch + 1} of 4, loss {best['loss']:.4f}, validation {best['validation']:.4f}\n"
    assert f"trained orthohash: {said}" in capsys.readouterr().err


def test_checkpoints_are_readable_without_running_code(tmp_path):
    train(method(), data(), settings(checkpoints=tmp_path))
    torch.load(Path(tmp_path) / "last.ckpt", weights_only=True)
