"""The embedded index passes the conformance check, and the check catches indexes that break a promise."""

from dataclasses import replace

import numpy as np
import pytest

from kinbits.index import BatchHits, Hits, Index
from kinbits.testing import check_index


@pytest.mark.parametrize("words", [2, 16, 256, 0])
def test_index_in_memory_conforms(words):
    check_index(Index.create, words=words)


@pytest.mark.parametrize("words", [2, 16, 256, 0])
def test_index_in_a_folder_conforms(tmp_path, words):
    check_index(Index.create, folder=tmp_path, words=words)


class Broken(Index):
    """An index of which one method is replaced below."""


def first_hit_lost(self, query, k=None, **options):
    hits = Index.search(self, query, k, **options)
    return hits.take(np.arange(1, len(hits))) if isinstance(hits, Hits) else hits


def ties_reversed(self, query, k=None, **options):
    hits = Index.search(self, query, k, **options)
    if not isinstance(hits, Hits):
        return hits
    order = np.lexsort((-np.arange(len(hits)), hits.distances))
    return hits.take(order)


def filter_ignored(self, query, k=None, where=None, **options):
    return Index.search(self, query, k, **options)


def filter_after_search(self, query, k=None, where=None, **options):
    hits = Index.search(self, query, k, **options)
    if not isinstance(hits, Hits) or where is None:
        return Index.search(self, query, k, where=where, **options)
    keep = np.isin(hits.ids, Index.search(self, query, 10**6, where=where).ids)
    return hits.take(np.flatnonzero(keep))


def reranking_forgotten(self, query=None, k=None, rerank=False, **options):
    return Index.search(self, query, k, **options)


def always_upsert(self, items, ids=None, metadata=None, *, upsert=False):
    return Index.add(self, items, ids, metadata, upsert=True)


def nothing(self, *arguments):
    return self


@pytest.mark.parametrize(
    ("method", "replacement"),
    [
        ("search", first_hit_lost),
        ("search", ties_reversed),
        ("search", filter_ignored),
        ("search", filter_after_search),
        ("search", reranking_forgotten),
        ("add", always_upsert),
        ("delete", nothing),
    ],
)
def test_the_check_catches_a_broken_index(monkeypatch, method, replacement):
    monkeypatch.setattr(Broken, method, replacement)
    with pytest.raises(AssertionError):
        check_index(Broken.create)


def last_query_repeated(self, query, k=None, **options):
    hits = Index.search(self, query, k, **options)
    return hits if isinstance(hits, Hits) or len(hits) < 2 else BatchHits([*hits[:-1], hits[0]])


@pytest.mark.parametrize("words", [16, 256, 0])
@pytest.mark.parametrize(
    ("method", "replacement"),
    [("search", last_query_repeated), ("search", filter_ignored), ("add", always_upsert), ("delete", nothing)],
)
def test_the_check_catches_a_broken_index_of_tables(monkeypatch, words, method, replacement):
    monkeypatch.setattr(Broken, method, replacement)
    with pytest.raises(AssertionError):
        check_index(Broken.create, words=words)


def test_the_check_catches_a_forgotten_fingerprint():
    class Forgetful(Index):
        def _commit(self, state, *others):
            super()._commit(replace(state, fingerprint=None), *others)

    with pytest.raises(AssertionError, match="another fingerprint"):
        check_index(Forgetful.create)
