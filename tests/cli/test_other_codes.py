"""What commands say of codes that are no bits: what they are, and what to type instead."""

import json

import numpy as np
import pytest

KINDS = {
    "product": ("--method", "pq", "--bits", "16"),
    "small product": ("--method", "pq", "--bits", "16", "--param", "words=16"),
    "scaled": ("--method", "rabitq", "--bits", "112"),
}


@pytest.fixture(params=KINDS)
def kind(request, run, tmp_path):
    """A model and two indexes, the first of which keeps vectors, of one kind of codes."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32))
    np.save(tmp_path / "q.npy", np.load(tmp_path / "x.npy")[:2])
    for command in (
        ("fit", "x.npy", "-o", "m", *KINDS[request.param]),
        ("index", "create", "i", "m", "x.npy", "--keep", "float32"),
        ("index", "create", "plain", "m", "x.npy"),
        ("encode", "m", "q.npy", "-o", "q.parquet"),
    ):
        ended = run(*command)
        assert ended.code == 0, ended.err
    return request.param.split()[-1]


def test_what_is_refused_is_told_in_the_words_of_a_shell(run, kind):
    for command, told in {
        "index optimize i": "search tables are for Hamming distances of bits, and this index holds",
        "index pairs i": "make an index of bits, e.g. of method itq",
        "search i q.npy --distance hamming": "leave the distance out (--distance), or take 'asymmetric'",
        "search i q.npy --rerank 5": f"--rerank and --at are of Hamming distances, and {kind} codes have none",
        "search i q.npy --at precision=0.9": f"--rerank and --at are of Hamming distances, and {kind} codes have none",
        "search i q.npy --rescore 0": "rescore is 0; give the number of candidates for each hit",
        "search plain q.npy --rescore 5": "create one that keeps int8 vectors (kinbits index create --keep int8)",
        "index add i q.parquet --upsert": "codes have none; give the items themselves, or their vectors too",
        "inspect plain": "of an index that was created with --keep it measures the recall",
        "inspect m x.npy": "of an index that was created with --keep it measures the recall",
        "export m m.onnx": "cannot be exported",
        "calibrate m x.npy -o n": "no thresholds to calibrate; fit the model on the new collection",
    }.items():
        error = run(*command.split()).error
        assert told in error, command
        assert f"{kind} codes" in error or "rescore" in command or "index add" in command
        assert not {"optimize()", "pairs()", "distance=", "rescore=", "keep=", "vectors="} & set(error.split())


def test_the_bound_is_of_scaled_codes(run, kind):
    ended = run("search", "i", "q.npy", "--rescore", "bound")
    assert ended.code == (0 if kind == "scaled" else 2)
    if kind != "scaled":
        assert "these are product codes; rescore a number of candidates, e.g. 10 (--rescore 10)" in ended.error


def test_a_search_says_what_its_distances_are(run, kind):
    said = (
        "1 - cosine, estimated by scaled codes" if kind == "scaled" else "squared Euclidean distance to product codes"
    )
    for query in ("q.npy", "q.parquet"):
        assert f"distance: {said}" in run("search", "plain", query).err
        assert all(one["distance"].startswith(said) for one in json.loads(run("search", "i", query, "--json").out))


def test_without_bits_a_method_chooses_its_own_length(run, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32))
    for params, bits in (((), 120), (("--param", "bits_per_dim=4"), 176)):
        ended = run("fit", "x.npy", "-o", "m", "--force", "--method", "rabitq", *params)
        assert f"{bits} bits, rabitq on features" in ended.out
        assert f"no code length is given, so codes have the {bits} bits that rabitq chooses" in ended.err
    assert (
        "give 120 bits for all 20 dimensions"
        in run("fit", "x.npy", "-o", "n", "--method", "rabitq", "--bits", "64").error
    )
    assert (
        "bits_per_dim=9: give 1 to 8"
        in run("fit", "x.npy", "-o", "n", "--method", "rabitq", "--param", "bits_per_dim=9").error
    )
    ended = run("fit", "x.npy", "-o", "n", "--method", "lsh")
    assert "64 bits, lsh" in ended.out
    assert "no code length" not in ended.err
