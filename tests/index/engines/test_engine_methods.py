"""The methods that `docs/engines.md` lists are those that the engines have."""

import pytest

from kinbits.index import Index, SearchIndex, list_engines

ALL = {"add", "bits", "delete", "fingerprint", "info", "save", "search"}
EXACT = {
    "ids",
    "count",
    "update",
    "merge",
    "pairs",
    "explain",
    "optimize",
    "refresh",
    "sync",
    "to_codes",
    "model",
    "words",
}
FAISS = {"compact", "verify", "rebuild", "recall"}
OWN = {"create", "open", "missing", "name", "packages", "remedy", "supports", "stamp"}  # not what users call


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")} - OWN


@pytest.mark.parametrize("engine", list_engines(), ids=lambda engine: engine.name)
def test_engines_have_the_methods_that_the_page_lists(engine):
    own = {"exact": EXACT | {"compact", "verify", "recall"}, "milvus": set()}.get(engine.name, FAISS)
    assert public(engine.index) == ALL | own
    assert public(SearchIndex) == ALL


def test_only_the_exact_index_deletes_by_a_filter():
    assert Index.delete.__kwdefaults__ == {"where": None}
    assert all(engine.index.delete.__kwdefaults__ is None for engine in list_engines() if engine.name != "exact")
