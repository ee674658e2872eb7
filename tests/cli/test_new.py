"""kinbits new method: a file that trains as it is, and is the baseline `softmax-quantization`."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kinbits
from kinbits.data import LabelSpace
from kinbits.methods import Batch, Spec, build_method, describe_method
from kinbits.testing import check_method
from kinbits.training import FeatureSet


def test_new_method_trains_as_it_is_and_is_not_overwritten(run, vectors):
    assert run("new", "method", "my-loss").code == 0
    text = Path("my_loss.py").read_text()
    ended = run("fit", vectors, "-o", "m", "--method", "my_loss.py", "--epochs", "2", "--param", "quantization=0.5")
    assert ended.code == 0, ended.err
    assert kinbits.HashModel.from_pretrained("m").method["params"] == {"quantization": 0.5}
    assert "not overwritten" in run("new", "method", "my-loss").error
    assert Path("my_loss.py").read_text() == text


@pytest.mark.parametrize("name", ["orthohash", "My Loss", "9lives", ""])
def test_new_method_refuses_bad_names(run, name):
    ended = run("new", "method", name)
    assert ended.code == 2
    assert ended.error
    assert list(Path().glob("*.py")) == []


def test_the_skeleton_passes_the_conformance_check(tmp_path, run):
    assert run("new", "method", "checked-loss").code == 0
    check_method("checked_loss.py")


def test_the_skeleton_is_clean(run):
    assert run("new", "method", "clean-loss").code == 0
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "clean_loss.py"]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "labels",
    [torch.tensor([0, 2, -1, 1]), torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]])],
    ids=["one label", "sets of labels"],
)
def test_the_skeleton_is_the_baseline(run, labels):
    sets = labels.ndim == 2
    name = "my-sets" if sets else "my-labels"
    run("new", "method", name)
    file = f"{name.replace('-', '_')}.py"
    spec = Spec(8, 5, 4, LabelSpace(tuple("abc"), multi=sets))
    theirs, ours = build_method(file, spec), build_method("softmax-quantization", spec)
    torch.nn.init.zeros_(ours.classifier.bias), torch.nn.init.zeros_(theirs.classifier.bias)
    for method in (theirs, ours):
        method.prepare(FeatureSet(torch.randn(4, 5).numpy(), labels.numpy()))
    assert torch.equal(theirs.classifier.bias, ours.classifier.bias)
    theirs.load_state_dict(ours.state_dict())  # the same layers
    batch = Batch(torch.arange(4), torch.randn(4, 5), labels)
    logits = theirs.head(batch.features)
    assert torch.equal(logits, ours.head(batch.features))
    assert theirs.loss(batch, logits) == ours.loss(batch, logits)
    written, baseline = describe_method(file), describe_method("softmax-quantization")
    assert written.recipe == baseline.recipe
    assert [(one.name, one.default) for one in written.parameters] == [("quantization", 0.1)]
    assert "W tanh(v_i) + c, y_i) + quantization mean_ik (|v_ik| - 1)^2" in written.docstring
    assert "W tanh(v_i) + c, y_i) + quantization mean_ik (|v_ik| - 1)^2" in baseline.docstring
