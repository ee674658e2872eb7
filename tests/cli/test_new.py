"""kinbits new method: a method that trains as it is, and is the baseline `softmax-quantization`."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kinbits
from kinbits.data import LabelSpace
from kinbits.methods import Batch, Spec, build_method, describe_method
from kinbits.training import FeatureSet

RULES = "B,E,F,I,N,PIE,PT,RET,SIM,UP,W"


def test_new_method_trains_as_it_is_and_is_not_overwritten(run, vectors):
    assert run("new", "method", "my-loss").code == 0
    text = Path("my_loss.py").read_text()
    ended = run("fit", vectors, "-o", "m", "--method", "my_loss.py", "--epochs", "2", "--param", "quantization=0.5")
    assert ended.code == 0, ended.err
    assert kinbits.HashModel.from_pretrained("m").method["params"] == {"quantization": 0.5}
    assert "not overwritten" in run("new", "method", "my-loss").error
    assert Path("my_loss.py").read_text() == text


def test_new_method_refuses_a_bad_name(run):
    ended = run("new", "method", "My Loss")
    assert ended.code == 2
    assert "is not a name for a method" in ended.error
    assert list(Path().glob("*.*")) == []


def test_what_to_do_next_is_told(run):
    assert run("new", "method", "next-loss").out.splitlines() == [
        "wrote next_loss.py, test_next_loss.py and next-loss.md",
        "try it:    kinbits fit DATA -o MODEL --method next_loss.py",
        "check it:  python -m pytest test_next_loss.py",
    ]
    for place in ("src/kinbits/methods", "tests/methods", "docs/methods"):
        Path(place).mkdir(parents=True)
    ended = run("new", "method", "next-loss")
    assert "does not know the new file" in ended.err
    told = ended.out.splitlines()
    assert told[0] == (
        "wrote src/kinbits/methods/next_loss.py, tests/methods/test_next_loss.py and docs/methods/next-loss.md"
    )
    assert "[`next-loss`](next-loss.md)" in told[3]


def test_what_is_written_is_clean(run):
    assert run("new", "method", "clean-loss").code == 0
    for command in (["check", "--select", RULES], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120"]
        done = subprocess.run(
            [*ruff, "clean_loss.py", "test_clean_loss.py"], capture_output=True, text=True, check=False
        )
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
