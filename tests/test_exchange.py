"""The Python examples of docs/exchange.md find our neighbours in codes of all kinds, not only in those of the page."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kinbits.encoding import CodesFile, write_codes

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).parent.parent / "docs" / "exchange.md").read_text(),
    re.DOTALL | re.MULTILINE,
)
(OURS,) = [block for block in BLOCKS if "ours = " in block]
NAMES = {
    "chdb": "chdb.",
    "duckdb": "duckdb.",
    "faiss": "faiss.",
    "lancedb": "lancedb.",
    "pandas": "pd.",
    "polars": "pl.",
}
SEARCHES = {
    program: [block for block in BLOCKS if "assert nearest == ours" in block and name in block]
    for program, name in NAMES.items()
}
MANY = ("chdb", "duckdb", "polars")  # which read many files


@pytest.fixture(params=SEARCHES)
def program(request):
    if find_spec(request.param) is None:
        pytest.skip("needs pip install 'kinbits[exchange]'")
    return request.param


def random_codes(bits, n=600):
    """Return codes of few different bits, so that many distances are equal, and text ids beyond Latin letters."""
    rng = np.random.default_rng(bits)
    unpacked = rng.random((n, bits)) < 0.1
    ids = np.array([f"{'aé￿🐎'[row % 4]}{row}" for row in rng.permutation(n)])
    return CodesFile(np.packbits(unpacked, axis=1), ids, bits=bits, columns={"label": ["cat", "dog"] * (n // 2)})


def found_by(blocks, names):
    for block in blocks:
        exec(block, names)
        yield names["nearest"]


def nearest_of(codes, query, k=10):
    distances = np.unpackbits(codes.codes ^ query, axis=1).sum(1)
    return sorted(zip(distances.tolist(), codes.ids.tolist(), strict=True))[:k]


@pytest.mark.parametrize("bits", [5, 12, 64, 128, 200])
def test_a_program_finds_the_neighbours_that_kinbits_finds(program, bits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = random_codes(bits)
    write_codes("codes.parquet", codes)
    names = {}
    exec(OURS, names)
    wanted = nearest_of(codes, names["query"])
    assert len({distance for distance, _ in wanted}) < len(wanted)  # ties are tested
    assert names["ours"] == wanted
    found = list(found_by(SEARCHES[program], names))
    assert found == [wanted] * len(SEARCHES[program])


def test_a_program_reads_many_files(program, tmp_path, monkeypatch):
    if program not in MANY:
        pytest.skip("reads one file")
    monkeypatch.chdir(tmp_path)
    codes = random_codes(64)
    write_codes("codes.parquet", codes)
    (tmp_path / "codes").mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(codes)), 3)):
        write_codes(f"codes/{number}.parquet", CodesFile(codes.codes[rows], codes.ids[rows], bits=64))
    names = {}
    exec(OURS, names)
    (tmp_path / "codes.parquet").unlink()
    blocks = [block.replace("codes.parquet", "codes/*.parquet") for block in SEARCHES[program]]
    assert list(found_by(blocks, names)) == [nearest_of(codes, names["query"])] * len(blocks)


def test_each_search_of_the_page_is_of_one_program():
    assert all(SEARCHES.values())
    assert sum(map(len, SEARCHES.values())) == sum("nearest ==" in block for block in BLOCKS)
