"""One trial: it is fitted without the queries, and measured once."""

import numpy as np
import pytest

import kinbits
from kinbits.bench import Experiment, bench, measure, protocol_data
from kinbits.data import split_folder
from kinbits.errors import DataError


def made(given):
    return Experiment.from_dict(given)


def test_early_stopping_and_model_selection_never_see_the_queries(small, tmp_path, monkeypatch):
    """The best epoch is chosen on a part of train: while a model is fitted, no query and no database row is read."""
    splits = protocol_data.splits_of(small["protocols"])
    seen, fit = [], measure.fit

    def watched(data, settings, **options):
        seen.append(set(data.ids.tolist()))
        with monkeypatch.context() as inside:
            inside.setattr(
                protocol_data, "load_protocol", lambda name: pytest.fail("the protocol was opened while fitting")
            )
            model = fit(data, settings, **options)
        assert model.training["best_epoch"] is not None
        return model

    monkeypatch.setattr(measure, "fit", watched)
    small |= {"methods": ["orthohash"], "baselines": False, "bits": [8], "seeds": [0]}
    small["training"] = {"epochs": 4, "validation": 0.2, "patience": 2}
    bench(made(small), tmp_path / "x.csv")
    others = set(splits.query.ids.tolist()) | set(splits.database.ids.tolist())
    assert len(seen) == 1
    assert not seen[0] & others


def test_other_queries_change_no_model(small, tmp_path):
    """The codes that a run learns are the same, whatever the query images and their labels are."""
    from kinbits import fit

    splits = protocol_data.splits_of(small["protocols"])
    options = {"bits": 8, "epochs": 4, "validation": 0.2, "progress": False, "cache": None}
    before = fit(splits.train, **options)
    splits.query.labels[:] = 0
    assert fit(splits.train, **options).fingerprint == before.fingerprint
    protocol_data.forget_data()


def test_pairs_of_images_and_texts_are_not_measured_by_what_reads_no_text(small, tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(40, 24)).astype(np.float32)
    pairs = split_folder(kinbits.open_dataset(vectors, texts=[f"number {row}" for row in range(40)]))
    monkeypatch.setattr(measure, "splits_of", lambda protocol: pairs)
    (first, *_) = made(small | {"methods": ["itq"], "baselines": False}).trials()
    with pytest.raises(DataError, match="'itq' reads no text"):
        measure.measure(first)
