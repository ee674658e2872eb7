"""pdq and phash wherever the command line takes a model, and hexadecimal wherever it takes a code."""

import json

import numpy as np
import pytest
from hash_pictures import flat, photos, picture
from PIL import Image

import kinbits
from kinbits import HashModel, UsageError, open_dataset
from kinbits.data import split_folder
from kinbits.hamming import to_hex
from kinbits.robustness import measure_robustness


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "photos")


@pytest.mark.parametrize("name", ["pdq", "phash"])
def test_an_index_is_made_extended_and_searched(run, folder, tmp_path, name):
    made = run("encode", name, "photos", "-o", "codes.parquet")
    assert (made.code, "next" in made.out) == (0, True), made.err
    assert run("index", "create", "some.index", name, "photos").code == 0
    assert run("index", "create", "other.index", "codes.parquet").code == 0
    picture(7).save(tmp_path / "new.png")
    for index in ("some.index", "other.index"):
        (tmp_path / "more").mkdir(exist_ok=True)
        picture(8).save(tmp_path / "more" / "8.png")
        assert run("index", "add", index, "more").code == 0
        found = json.loads(run("search", index, "more/8.png", "-k", "1", "--json").out)
        assert found[0]["hits"][0]["id"] == "8.png"
        assert name in run("index", "info", index).out
    assert "256" in run("inspect", "pdq", "photos").out


def test_low_quality_is_counted_and_said(run, folder, tmp_path):
    ended = run("encode", "pdq", "photos", "-o", "codes.parquet")
    assert "1 of 5 have pdq_quality below 50: too few edges to match" in ended.out
    assert json.loads(run("encode", "pdq", "photos", "-o", "codes.csv", "--json").out)["low_quality"] == 1
    ended = run("encode", "pdq", "photos", "-o", "codes.txt")
    assert "left out" in ended.out
    assert len((tmp_path / "codes.txt").read_text().splitlines()) == 4
    ended = run("index", "create", "some.index", "pdq", "photos")
    assert "1 of 5 have pdq_quality below 50" in ended.err
    found = json.loads(run("search", "some.index", "photos/0.png", "--where", "pdq_quality>=50", "--json").out)
    assert len(found[0]["hits"]) == 4
    flat().save(tmp_path / "query.png")
    ended = run("search", "some.index", "query.png")
    assert "query.png: quality 0 of 100, so its hits say little; 50 is enough" in ended.err
    assert "quality" not in run("search", "some.index", "photos/0.png").err
    assert "quality" not in run("encode", "phash", "photos", "-o", "codes.hex").out


def test_codes_are_given_in_hexadecimal(run, folder):
    run("index", "create", "some.index", "phash", "photos")
    code, other = to_hex(HashModel.from_pretrained("phash").encode([folder / "1.png", folder / "2.png"]))
    found = json.loads(run("search", "some.index", "--code", code, "--code", other.upper(), "-k", "1", "--json").out)
    assert [(one["query"], one["hits"][0]["id"]) for one in found] == [(code, "1.png"), (other.upper(), "2.png")]
    assert run("search", "some.index", "--code", code, "-k", "1").out.startswith(code)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--code", "ff"], "row 0 has 2 hexadecimal digits; 64-bit codes have 16"),
        (["--code", "xyz"], "row 0 is 'xyz', not a code"),
        (["--code", "00" * 8, "photos/1.png"], "--text or --code; one of the three"),
        (["--code", "00" * 8, "--rescore", "5"], "leave them out with codes"),
        (["--code", "00" * 8, "--distance", "asymmetric"], "packed codes have none"),
    ],
)
def test_what_is_no_code_is_refused(run, folder, arguments, told):
    run("index", "create", "some.index", "phash", "photos")
    assert told in run("search", "some.index", *arguments).error


@pytest.mark.parametrize("ending", ["csv", "hex", "txt"])
def test_text_files_go_wherever_codes_go(run, folder, ending):
    name = f"codes.{ending}"
    assert run("encode", "pdq", "photos", "-o", name).code == 0
    bits = [] if ending == "txt" else ["--bits", "256"]
    assert run("index", "create", "some.index", name, *bits).code == 0
    assert run("inspect", name, *bits).code == 0
    assert run("index", "create", "whole.index", "pdq", "photos").code == 0
    found = json.loads(run("search", "whole.index", name, "-k", "1", "--json").out)
    assert [one["hits"][0]["distance"] for one in found] == [0] * len(found)
    ended = run("index", "add", "whole.index", name, "--upsert")
    assert (ended.code, ended.err) == ((0, "") if ending != "hex" else (2, ended.err))  # whose ids are numbers
    known = [] if ending == "txt" else ["--model", "pdq"]
    found = json.loads(run("search", "some.index", "photos/2.png", "-k", "1", "--json", *known).out)
    assert found[0]["hits"][0]["distance"] == 0


def test_signals_of_other_kinds_are_said(run, tmp_path):
    (tmp_path / "signals.txt").write_text(f"pdq {'0f' * 32}\nvideo_md5 {'00' * 16}\n")
    ended = run("index", "create", "some.index", "signals.txt")
    assert "video_md5: another kind than pdq: 1" in ended.out


@pytest.fixture
def labelled(tmp_path):
    """Two pictures, ten times each, a little lighter or darker."""
    for label in range(2):
        (tmp_path / "labelled" / str(label)).mkdir(parents=True)
        pixels = np.asarray(picture(label, (60, 50))).astype(int)
        for number in range(10):
            changed = (pixels + number - 5).clip(0, 255).astype(np.uint8)
            Image.fromarray(changed).save(tmp_path / "labelled" / str(label) / f"{number}.png")
    return tmp_path / "labelled"


def test_a_hash_is_evaluated(run, labelled, tmp_path):
    ended = run("evaluate", "pdq", "labelled", "--compare", "phash", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["rows"][0]["values"]["map@all"] == pytest.approx(1)
    assert not (tmp_path / "pdq").exists()


def test_a_hash_is_measured_on_edits_and_on_images_that_were_attacked_elsewhere(labelled):
    splits, pdq = split_folder(open_dataset(labelled)), HashModel.from_pretrained("pdq")
    report = measure_robustness(pdq, splits, edits=["jpeg 30", "mirror"], attacks=[], queries=4)
    assert [row.map for row in report.rows if row.name == "jpeg 30"] == [pytest.approx(1)]
    with pytest.raises(UsageError, match="an attack takes pixels, and 'pdq' is a fixed hash"):
        measure_robustness(pdq, splits, edits=[], attacks=["noise"], queries=4)
    network = kinbits.fit(splits.train, backbone="convnet-small", method="csq", bits=16, epochs=1, finetune=True)
    report = measure_robustness(network, splits, edits=[], attacks=["noise"], curve=[], queries=4, transfer_to=pdq)
    assert [row.transfer_map for row in report.rows if row.group == "attack"] == [pytest.approx(1)]


def test_what_needs_a_network_is_refused(run, folder):
    assert "no thresholds to calibrate" in run("calibrate", "pdq", "photos", "-o", "new").error
    ended = run("encode", "pdq", "photos", "-o", "codes.json")
    assert "ends in .parquet, .csv, .hex, .txt" in ended.error
    assert "signals, which are of model pdq" in run("encode", "phash", "photos", "-o", "codes.txt").error
