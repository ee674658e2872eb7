"""Trials are repeated when the code of their method has changed, and only then."""

import sys
from pathlib import Path

from kinbits.bench import Comparison, Experiment, Results, accept_code, bench
from kinbits.bench.sources import code_of, source_digest


def made(given):
    return Experiment.from_dict(given)


OWN = """
import torch
from kinbits.heads import LinearBatchNorm
from kinbits.methods import Method, Recipe, register


@register("of-a-user")
class OfAUser(Method):
    \"\"\"A method in a file.\"\"\"

    supervision = "none"
    recipe = Recipe(epochs=1, batch_size=32)

    def __init__(self, spec):
        super().__init__(spec)
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}  # a pull
"""


def test_a_method_file_that_has_changed_is_run_again_and_its_last_numbers_count(small, tmp_path):
    file, path = tmp_path / "of_a_user.py", tmp_path / "x.csv"
    small |= {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0], "training": {}}
    rows = []
    for text in (OWN, OWN.replace("a pull", "another comment"), OWN.replace("logits - 1", "logits + 1"), OWN):
        file.write_text(text)
        results, failures = bench(made(small), path)
        assert not failures
        rows.append(len(results))
    assert rows == [1, 1, 2, 2]
    (table,) = Comparison.from_rows(
        [dict(row, **{"map@all": value}) for row, value in zip(results, "01", strict=True)], "map@all"
    )
    assert table.rows[0][1][0].values == (1.0,)


def test_a_row_of_a_users_file_from_before_its_code_was_noted_is_made_again(small, tmp_path):
    file = tmp_path / "of_a_user.py"
    file.write_text(OWN)
    (run,) = made(small | {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0]}).trials()
    assert run.configs == {run.config}
    assert run.config.startswith(run.settings + "-")


def test_a_built_in_method_that_has_changed_is_run_again_and_rows_without_its_code_stay(small, tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    small |= {
        "methods": [{"method": "hashnet", "training": {"epochs": 1}}],
        "baselines": False,
        "bits": [8],
        "seeds": [0],
    }
    bench(made(small), path)
    text = path.read_text()
    (run,) = made(small).trials()
    config = run.config
    assert f",{config}," in text
    module = sys.modules["kinbits.methods.hashnet"]
    changed = tmp_path / "hashnet.py"
    changed.write_text(Path(module.__file__).read_text() + "\nSCALE = 2\n")
    monkeypatch.setattr(module, "__file__", str(changed))
    assert len(bench(made(small), path)[0]) == 2
    path.write_text(text.replace(config, run.settings))
    assert len(bench(made(small), path)[0]) == 1


def test_the_code_of_methods_inside_a_method_counts(tmp_path):
    file = tmp_path / "of_a_user.py"

    def digest(text, **used):
        file.write_text(text)
        return source_digest(**{"method": "orthohash", "params": {}, "pretrain": None, "expansion": None} | used)

    changed = OWN.replace("logits - 1", "logits + 1")
    for used in ({"pretrain": str(file)}, {"params": {"base": str(file)}}):
        assert digest(OWN, **used) != digest(changed, **used)
        assert digest(OWN) == digest(changed) != digest(OWN, **used)
    assert digest(OWN) != digest(OWN, expansion="prl")
    assert source_digest("nmlayer", {}, pretrain=None, expansion=None) != source_digest(
        "nmlayer", {"base": "dpsh"}, pretrain=None, expansion=None
    )


def test_code_is_what_runs():
    code = code_of('"""Text."""\n\n\ndef f(x):  # why\n    """Text."""\n    return (x\n            + 1)\n')
    assert code == code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 1")
    assert code != code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 2")


def test_trials_without_later_options_keep_their_hash():
    """Rows of results are found by it: a change of how a trial is stored may not change its hash."""
    plan = {
        "protocols": "cifar10-1k-5k-54k",
        "methods": "hashnet",
        "bits": 16,
        "metrics": "map@1000",
        "baselines": False,
    }
    found = [
        next(Experiment.from_dict(plan | more).trials()).settings for more in ({}, {"image-size": 96}, {"views": 2})
    ]
    assert len(set(found)) == 3
    assert found[:2] == ["f5b10a57becd", "ebc3a925095c"]


def test_rows_count_again_once_a_change_of_code_is_accepted(small, tmp_path):
    file, path = tmp_path / "of_a_user.py", tmp_path / "x.csv"
    small |= {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0, 1], "training": {}}
    for text in (OWN, OWN.replace("logits - 1", "logits + 1")):
        file.write_text(text)
        assert not bench(made(small), path)[1]
    before = path.read_text().splitlines()
    file.write_text(OWN.replace("logits - 1", "logits + 1").replace("batch, logits", "rows, logits"))
    assert accept_code(made(small), path) == 2
    after = path.read_text().splitlines()
    assert after[:3] == before[:3]  # rows of still older code stay as they are
    configs = [trial.config for trial in made(small).trials()]
    column = before[0].split(",").index("config")
    for old, new, config in zip(before[3:], after[3:], configs, strict=True):
        assert new == old.replace(old.split(",")[column], config)
    assert len(bench(made(small), path)[0]) == 4  # nothing was run again
    assert accept_code(made(small), path) == 0


def test_rows_of_other_settings_or_another_split_are_not_accepted(small, tmp_path):
    file, path = tmp_path / "of_a_user.py", tmp_path / "x.csv"
    small |= {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0], "training": {}}
    file.write_text(OWN)
    bench(made(small), path)
    file.write_text(OWN.replace("logits - 1", "logits + 1"))
    text = path.read_text()
    assert accept_code(made(small | {"bits": [16]}), path) == 0
    (row,) = Results(path, small["metrics"])
    path.write_text(text.replace(row["split_checksum"], "0" * 64))
    assert accept_code(made(small), path) == 0
