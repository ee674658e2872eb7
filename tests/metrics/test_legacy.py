"""Each legacy definition equals a transcription of its formula, with the arrays and calls of the code it restates."""

import numpy as np
import pytest
import torch

from kinbits import hamming
from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.metrics import LabelRelevance, ListRelevance, evaluate, legacy_definitions


def case(bits=8, queries=9, database=200, seed=0):
    """Codes of ±1 and multi-hot labels as the codes of the field hold them; some queries have no label."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(queries + database, bits)).astype(np.float32)
    labels = (rng.random((queries + database, 5)) < 0.15).astype(np.float32)
    labels[:2] = 0
    codes = np.where(logits >= 0, 1, -1).astype(np.float32)
    return codes[:queries], codes[queries:], labels[:queries], labels[queries:]


def matches(labels, rows, label):
    """Which rows share a label: zeros of the query's label become -1, equal entries are counted."""
    marked = np.where(label == 0, -1, label)
    return (labels[rows] == marked).sum(axis=1) > 0


def precision_sum(hits):
    return np.sum(np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits)


def hashnet(q, d, q_labels, d_labels, k):
    rank = np.argsort(-np.dot(d, q.T), axis=0)
    found = []
    for i in range(len(q)):
        hits = matches(d_labels, rank[:k, i], q_labels[i])
        if hits.sum():
            found.append(precision_sum(hits) / hits.sum())
    return np.mean(found)


def deephash(q, d, q_labels, d_labels, k):
    distance = -np.inner(q, d)
    part = np.argpartition(distance, k - 1)[:, :k]
    found = []
    for i in range(len(q)):
        hits = matches(d_labels, part[i][np.argsort(distance[i][part[i]])], q_labels[i])
        if hits.sum():
            found.append(precision_sum(hits) / hits.sum())
    return np.mean(found)


def deephash_pytorch(q, d, q_labels, d_labels, k):
    total = 0.0
    for i in range(len(q)):
        relevant = (q_labels[i] @ d_labels.T > 0).astype(np.float32)
        order = np.argsort(0.5 * (q.shape[1] - np.dot(q[i], d.T)))
        top = relevant[order][0 : -1 if k == len(d) else k]
        if top.sum():
            total += np.mean(np.arange(1, top.sum() + 1) / (np.flatnonzero(top == 1) + 1.0))
    return total / len(q)


def orthohash(q, d, q_labels, d_labels, k):
    distance = torch.from_numpy(0.5 * (q.shape[1] - q @ d.T))
    rows = torch.topk(distance, k, dim=1, largest=False)[1].numpy()
    found = []
    for i in range(len(q)):
        hits = matches(d_labels, rows[i], q_labels[i])
        found.append(precision_sum(hits) / hits.sum() if hits.sum() else 0)
    return np.mean(found)


def dcmh(q, d, q_labels, d_labels, k):
    total = 0.0
    for i in range(len(q)):
        relevant = q_labels[i] @ d_labels.T > 0
        order = sorted(range(len(d)), key=lambda row: (q[i] != d[row]).sum())
        ranks = np.flatnonzero(relevant[order][:k]) + 1
        if len(ranks):
            total += np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return total / len(q)


def landmarks(q, d, q_labels, d_labels, k):
    found = []
    for i in range(len(q)):
        truth = set(np.flatnonzero(q_labels[i] @ d_labels.T > 0))
        if not truth:
            continue
        correct, score = 0, 0.0
        for rank, row in enumerate(sorted(range(len(d)), key=lambda row: (q[i] != d[row]).sum())[:k], 1):
            if row in truth:
                correct += 1
                score += correct / rank
        found.append(score / min(len(truth), k))
    return np.mean(found)


def landmarks_fire(q, d, q_labels, d_labels, k):
    rows = torch.topk(torch.from_numpy(0.5 * (q.shape[1] - q @ d.T)), k, dim=1, largest=False)[1].numpy()
    found = []
    for i in range(len(q)):
        truth = q_labels[i] @ d_labels.T > 0
        # an empty list of truth, split at blanks, has one entry there: the sum is 0, and so is the query
        found.append(precision_sum(truth[rows[i]]) / max(1, truth.sum()))
    return np.mean(found)


TRANSCRIBED = {
    "hashnet": hashnet,
    "deephash": deephash,
    "deephash-pytorch": deephash_pytorch,
    "orthohash": orthohash,
    "dcmh": dcmh,
    "landmarks": landmarks,
    "landmarks-fire": landmarks_fire,
}


def measured(case, k, name):
    q, d, q_labels, d_labels = case
    relevance = LabelRelevance(q_labels.astype(int), d_labels.astype(int))
    metric = "map@all" if k == len(d) else f"map@{k}"
    return evaluate(hamming.pack(q > 0), hamming.pack(d > 0), relevance, [metric], legacy=name)[metric]


def test_every_definition_is_held_against_its_formula():
    assert {definition.name for definition in legacy_definitions()} == set(TRANSCRIBED)


@pytest.mark.parametrize("k", [1, 5, 60, 200])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", TRANSCRIBED)
def test_a_definition_gives_what_its_code_gives(name, bits, k):
    given = case(bits, seed=k)
    assert measured(given, k, name) == pytest.approx(TRANSCRIBED[name](*given, k), abs=1e-12)


def test_the_definitions_disagree_on_the_same_codes():
    given = case()
    assert len({round(measured(given, 20, name), 6) for name in TRANSCRIBED}) >= 5


def test_a_result_says_which_definition_made_it():
    codes = np.zeros((1, 1), np.uint8)
    result = evaluate(codes, codes, LabelRelevance([0], [0]), ["map@all"], legacy="dcmh")
    assert result.legacy == "dcmh"
    assert "legacy=dcmh" in repr(result)
    assert "stable" in result.ties


def test_label_less_queries_are_dropped_or_count_zero_as_the_definition_says():
    codes = np.zeros((2, 1), np.uint8)
    found = {
        name: evaluate(codes, codes[:1], LabelRelevance([0, -1], [0]), ["map@1"], legacy=name)["map@1"]
        for name in TRANSCRIBED
    }
    dropped = {"hashnet", "deephash", "landmarks"}
    assert found == {name: 1.0 if name in dropped else 0.5 for name in TRANSCRIBED}


def test_junk_is_no_part_of_the_list():
    query, codes = np.zeros((1, 1), np.uint8), np.array([[0], [1], [3]], np.uint8)
    relevance = ListRelevance([[1]], 3, junk=[[0]])
    assert evaluate(query, codes, relevance, ["map@2"], legacy="landmarks")["map@2"] == 1.0


def test_what_a_definition_cannot_do_is_refused(monkeypatch):
    codes, one = np.zeros((1, 1), np.uint8), LabelRelevance([0], [0])
    with pytest.raises(UsageError, match="did you mean hashnet"):
        evaluate(codes, codes, one, ["map@all"], legacy="hashnett")
    with pytest.raises(UsageError, match="measure ndcg@5 without legacy"):
        evaluate(codes, codes, one, ["ndcg@5"], legacy="hashnet")
    with pytest.raises(UsageError, match="leave ties='best' out"):
        evaluate(codes, codes, one, ["map@all"], legacy="hashnet", ties="best")
    with pytest.raises(DataError, match="no query finds"):
        evaluate(codes, codes, LabelRelevance([0], [1]), ["map@all"], legacy="hashnet")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(PlatformError, match=r"torch is not installed; run: pip install 'kinbits\[train\]'"):
        evaluate(codes, codes, one, ["map@all"], legacy="orthohash")
