"""kinbits fit with few labels, by flags and from a file."""

import json
from pathlib import Path

import kinbits

QUICK = ("--expansion-param", "steps=20", "--expansion-param", "stop=0")


def test_fit_tells_how_many_labels_were_given_and_guessed(run, vectors):
    flags = ("--labels-fraction", "0.2", "--label-expansion", "prl", "--bits", "16", "--epochs", "1", *QUICK)
    ended = run("fit", vectors.name, "-o", "m", *flags)
    assert ended.code == 0, ended.err
    assert "12 given, 30 guessed by prl, see labels.csv" in " ".join(ended.out.split())
    assert Path("m/labels.csv").read_text().startswith('"id","label","source","confidence","round"')


def test_flags_win_over_the_file_for_the_expansion_too(run, vectors):
    Path("e.yaml").write_text(
        "data: vectors.npz\nbits: 16\nepochs: 1\nlabels-fraction: 0.5\nlabel-expansion: prl\n"
        "expansion-params:\n  rounds: 2\n  steps: 20\n  stop: 0\n"
    )
    ended = run(
        "fit", "-o", "m", "--config", "e.yaml", "--labels-fraction", "0.2", "--expansion-param", "rounds=1", "--json"
    )
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["labels"]
    assert told["true"] == 12
    assert [one["added"] for one in told["rounds"]] == [6]
    assert set(kinbits.HashModel.from_pretrained("m").labels["source"].to_pylist()) == {"true", "pseudo"}


def test_wrong_settings_of_an_expansion_are_named(run, vectors):
    assert "give a label_expansion for the expansion_params" in run("fit", vectors.name, "-o", "m", *QUICK).error
    expansion = ("--labels-fraction", "0.2", "--label-expansion")
    assert "did you mean prl" in run("fit", vectors.name, "-o", "m", *expansion, "plr").error
    wrong = (*expansion, "prl", "--expansion-param")
    assert "did you mean rounds" in run("fit", vectors.name, "-o", "m", *wrong, "round=2").error
    assert "a whole number" in run("fit", vectors.name, "-o", "m", *wrong, "rounds=few").error
    assert "--expansion-param is 'rounds'" in run("fit", vectors.name, "-o", "m", *wrong, "rounds").error
    assert not Path("m").exists()
