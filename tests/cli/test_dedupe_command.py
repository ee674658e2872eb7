"""kinbits dedupe: a folder or an index in, groups of duplicates out."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits.dedupe import DedupeReport


def picture(seed, side=64):
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        picture(number).save(folder / f"{number * 9}x.png")
    (folder / "equal.png").write_bytes((folder / "0x.png").read_bytes())
    picture(1).save(folder / "pixels.bmp")
    picture(2, 128).save(folder / "larger.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    images = np.stack([np.asarray(picture(number)) for number in range(100, 130)])
    options = {"method": "pca-rotation", "backbone": "convnet-small", "image_size": 32, "bits": 16}
    made = kinbits.fit(kinbits.open_dataset(images), **options, progress=False, cache=None)
    return made.save_pretrained(tmp_path_factory.mktemp("models") / "model")


def test_a_folder_gives_a_table_and_a_report(run, photos, model, tmp_path):
    done = run("dedupe", photos, "--model", model, "-o", "report", "--radius", 0, "--sample", 2)
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80 + len(str(tmp_path))  # paths of files are not cut
    for text in ("same file", "same pixels", "equal.png", "pixels.bmp", "radius 0 of 16 bits, given"):
        assert text in done.out
    assert "kinbits dedupe review report" in done.err
    report = DedupeReport.open(tmp_path / "report")
    assert report.items == 15
    again = run("dedupe", photos, "--model", model, "-o", "report", "--radius", 0, "--sample", 2, "--json")
    assert json.loads(again.out)["reused"] == 15
    assert DedupeReport.open(tmp_path / "report").groups == report.groups


def test_no_model_finds_equal_files_and_csv_lists_them(run, photos):
    done = run("--quiet", "dedupe", photos, "--model", "none", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["kind"] for row in rows} == {"bytes", "pixels"}
    assert {row["path"] for row in rows if row["kind"] == "bytes"} == {"0x.png", "equal.png"}


def test_an_index_and_a_bank(run, photos, model):
    assert run("index", "create", "photos.index", model, photos).code == 0
    assert run("index", "create", "known.index", model, photos / "27x.png").code == 0
    found = json.loads(run("dedupe", "photos.index", "--radius", 0, "--json").out)
    assert any({"equal.png", "0x.png"} <= {item["path"] for item in group["items"]} for group in found["groups"])
    done = run("dedupe", photos, "--model", model, "--bank", "known.index=0", "--radius", 0, "--sample", 0, "--json")
    assert "27x.png" in {match["path"] for match in json.loads(done.out)["known"]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("missing", "--model", "none"), 3, "no such file or folder"),
        (("photos", "--model", "none", "--tolerance", "0"), 2, "tolerance is 0"),
        (("photos", "--model", "none", "--radius", "-1"), 2, "radius is -1"),
        (("photos", "--model", "none", "--json", "--csv"), 2, "not both"),
        (("photos", "--model", "missing-model"), 4, "missing-model"),
        (("photos", "--model", "none", "--bank", "missing.index"), 2, "a bank needs codes"),
    ],
)
def test_bad_input_is_one_line(run, photos, arguments, code, said):
    done = run("dedupe", *arguments)
    assert done.code == code
    assert said in done.error
