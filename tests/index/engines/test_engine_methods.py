"""The methods that `docs/engines.md` lists are those that the engines have."""

import pytest

from kinbits.index import SearchIndex, list_engines

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
    "view",
}
FAISS = {"compact", "verify", "rebuild", "recall"}
MILVUS = {"add_files", "recall"}
POSTGRES = {"count", "ids", "recall", "update"}
OWN = {"create", "open", "missing", "name", "packages", "remedy", "supports", "stamp"}  # not what users call


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")} - OWN


@pytest.mark.parametrize("engine", list_engines(), ids=lambda engine: engine.name)
def test_engines_have_the_methods_that_the_page_lists(engine):
    own = {"exact": EXACT | {"compact", "verify", "recall"}, "milvus": MILVUS, "postgres": POSTGRES}.get(
        engine.name, FAISS
    )
    assert public(engine.index) == ALL | own
    assert public(SearchIndex) == ALL


def test_the_exact_index_and_postgres_delete_by_a_filter():
    for engine in list_engines():
        known = {"where": None} if engine.name in ("exact", "postgres") else None
        assert engine.index.delete.__kwdefaults__ == known
