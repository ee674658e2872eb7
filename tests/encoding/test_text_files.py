"""Files of hexadecimal codes: written, read again, told from other files, and refused by their row."""

import numpy as np
import pytest
from hash_pictures import photos
from hypothesis import given
from hypothesis import strategies as st

from kinbits import ArtefactError, HashModel, UsageError
from kinbits.encoding import (
    CodesFile,
    check_codes_path,
    encode_collection,
    encode_to_file,
    is_codes_file,
    read_codes,
    write_codes,
)
from kinbits.hamming import to_hex
from kinbits.perceptual import HASHES, QUALITY

PDQ = HASHES["pdq"].fingerprint
HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = HASH[:-1] + "3"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def made(number=5, width=8, **fields):
    codes = np.random.default_rng(0).integers(0, 256, (number, width), dtype=np.uint8)
    return CodesFile(codes, np.array([f"a/{row}.jpg" for row in range(number)]), 8 * width, **fields)


def text(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    return tmp_path / name


def test_a_table_holds_ids_codes_and_metadata(tmp_path):
    columns = {"label": ["cat", None, 'a "dog", or not', "é\nf", "007"], "price": [1.5, 2.0, None, -3.25, 4.0]}
    codes = made(columns={**columns, "sold": [True, False, True, True, False], "code": ["x"] * 5})
    write_codes(tmp_path / "c.csv", codes)
    assert (tmp_path / "c.csv").read_text().splitlines()[0] == "id,code,label,price,sold"
    assert is_codes_file(tmp_path / "c.csv")
    found = read_codes(tmp_path / "c.csv")
    np.testing.assert_array_equal(found.codes, codes.codes)
    assert found.ids.tolist() == codes.ids.tolist()
    assert found.columns == {**columns, "sold": [True, False, True, True, False]}
    assert (found.bits, found.fingerprint) == (None, None)
    assert found.with_bits(64).bits == 64


def test_numbers_stay_ids(tmp_path):
    write_codes(tmp_path / "c.csv", CodesFile(made().codes, np.arange(5) * 10, 64))
    assert read_codes(tmp_path / "c.csv").ids.tolist() == [0, 10, 20, 30, 40]


def test_codes_of_digits_stay_codes(tmp_path):
    path = text(tmp_path, "c.csv", "id,code\n1,00000012\n2,00000013\n")
    assert read_codes(path).codes.tolist() == [[0, 0, 0, 18], [0, 0, 0, 19]]


def test_lines_hold_codes_in_order(tmp_path):
    codes = made()
    write_codes(tmp_path / "c.hex", codes)
    assert (tmp_path / "c.hex").read_text().split("\n") == [*to_hex(codes.codes), ""]
    found = read_codes(tmp_path / "c.hex")
    np.testing.assert_array_equal(found.codes, codes.codes)
    assert found.ids.tolist() == [0, 1, 2, 3, 4]


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8, unique=True))
def test_signals_survive(tmp_path_factory, hashes):
    path = tmp_path_factory.mktemp("signals") / "s.txt"
    codes = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    write_codes(path, CodesFile(codes, np.arange(len(codes)), 256, fingerprint=PDQ))
    assert is_codes_file(path)
    found = read_codes(path)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.ids.tolist() == to_hex(codes)
    assert (found.bits, found.fingerprint) == (256, PDQ)


def test_signals_of_other_kinds_are_left_out_and_counted(tmp_path):
    path = text(tmp_path, "s.txt", f"video_md5 {MD5}\n\npdq {HASH.upper()}\nraw_text bball now?\r\npdq {HASH}\n")
    assert is_codes_file(path)
    found = read_codes(path)
    assert found.ids.tolist() == [HASH]  # once, in small letters
    assert [(one.id, one.reason) for one in found.skipped] == [
        ("video_md5", "another kind than pdq: 1"),
        ("raw_text", "another kind than pdq: 1"),
    ]


def test_a_table_of_signals_is_read(tmp_path):
    """What `threatexchange dataset --print-signals --csv` writes: a row for each signal and collaboration."""
    head = "signal_type,signal_str,collab,category,tags"
    rows = [f"pdq,{HASH},one,POSITIVE_CLASS,", f"pdq,{OTHER},one,DISPUTED,a b", f"pdq,{HASH},two,POSITIVE_CLASS,c"]
    path = text(tmp_path, "s.csv", "\r\n".join([head, *rows, f"video_md5,{MD5},one,POSITIVE_CLASS,"]))
    assert is_codes_file(path)
    found = read_codes(path)
    assert found.ids.tolist() == [HASH, OTHER]
    assert found.fingerprint == PDQ
    assert found.columns == {
        "collab": ["one, two", "one"],
        "category": ["POSITIVE_CLASS", "DISPUTED"],
        "tags": ["c", "a b"],
    }


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("c.hex", "00ff\n00fg\n", "row 1 is '00fg', not a code"),
        ("c.hex", "00ff\n00ff00\n", "row 1 has 6 hexadecimal digits; the first has 4"),
        ("c.hex", "id,code\n", "row 0 is 'id,code'"),
        ("c.txt", f"pdq {HASH}\npdq {MD5}\n", "row 1 is .* not a PDQ hash; it has 64 hexadecimal digits"),
        ("c.txt", f"video_md5 {MD5}\n", "it holds no signal of type pdq, only video_md5"),
        ("c.csv", "id,code\na,00\nb,0x\n", "row 1 is '0x', not a code"),
        ("c.csv", "id,code\na,00\na,01\n", "the id 'a' occurs in several rows"),
        ("c.csv", "id,code\na,00\nb,\n", "row 1 is None"),
        ("c.csv", "id,label\na,00\n", "it has no column 'code'"),
    ],
)
def test_what_is_no_code_is_refused_by_its_row(tmp_path, name, content, told):
    with pytest.raises(ArtefactError, match=told) as caught:
        read_codes(text(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "c.hex").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtefactError, match="no UTF-8 text"):
        read_codes(tmp_path / "c.hex")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "photos/1.jpg 0 1 0\n"),
        ("words.txt", "two dogs\n"),
        ("empty.txt", ""),
        ("photos.csv", "id,path,code\n1,a.jpg,00ff\n"),  # an article code of an image
        ("articles.csv", "id,code\n1,A-17\n"),
        ("labels.csv", "id,label\n1,cat\n"),
        ("empty.csv", ""),
    ],
)
def test_other_text_files_are_no_codes(tmp_path, name, content):
    assert not is_codes_file(text(tmp_path, name, content))


def test_a_missing_file_is_no_codes(tmp_path):
    assert not any(is_codes_file(tmp_path / name) for name in ("c.hex", "c.txt", "c.csv"))
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_codes(tmp_path / "c.hex")


def test_a_file_must_be_able_to_hold_the_codes(tmp_path):
    with pytest.raises(UsageError, match="signals, which are of model pdq; end the name in"):
        write_codes(tmp_path / "c.txt", made())
    with pytest.raises(UsageError, match=r"product codes need a file that says what they are.*\.parquet"):
        write_codes(tmp_path / "c.hex", made(words=16))
    with pytest.raises(UsageError, match=r"ends in \.parquet, \.csv, \.hex, \.txt"):
        check_codes_path(tmp_path / "c.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["csv", "hex", "txt", "parquet"])
def test_a_collection_is_written_in_batches(tmp_path, ending):
    folder, model, path = photos(tmp_path / "photos", 5, flats=2), HashModel.from_pretrained("pdq"), tmp_path / "c"
    whole = encode_collection(model, folder)
    written = encode_to_file(model, folder, path.with_suffix(f".{ending}"), batch_size=2)
    found = read_codes(written.path)
    good = np.array(whole.columns[QUALITY]) >= 50
    assert good.sum() == 5
    np.testing.assert_array_equal(found.codes, whole.codes[good] if ending == "txt" else whole.codes)
    assert (written.rows, written.low_quality) == (len(found), 2)
    if ending in ("csv", "parquet"):
        assert found.ids.tolist() == whole.ids.tolist()
        assert found.columns == whole.columns
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"c.{ending}", "photos"])


def test_quality_is_kept_of_images_that_can_be_read(tmp_path):
    folder, model = photos(tmp_path / "photos", 2), HashModel.from_pretrained("pdq")
    (folder / "1.png").write_bytes(b"no image")
    found = encode_collection(model, folder)
    assert found.ids.tolist() == ["0.png", "flat-0.png"]
    assert found.columns[QUALITY] == model.encode([folder / "0.png", folder / "flat-0.png"], output="quality").tolist()
    assert encode_to_file(HashModel.from_pretrained("phash"), folder, tmp_path / "c.hex").low_quality is None
    assert QUALITY not in encode_collection(HashModel.from_pretrained("phash"), folder).columns


def test_nothing_is_written_where_an_image_may_not_be_skipped(tmp_path):
    folder = photos(tmp_path / "photos", 2)
    (folder / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="1 of 3 images cannot be read"):
        encode_to_file(HashModel.from_pretrained("pdq"), folder, tmp_path / "c.csv", on_error="raise")
    assert not (tmp_path / "c.csv").exists()


def test_a_line_that_is_no_signal_is_named(tmp_path):
    file = tmp_path / "signals.txt"
    file.write_text(f"pdq {'0f' * 32}\nPDQ {'1e' * 32}\n")
    with pytest.raises(ArtefactError, match="line 2 is no signal"):
        read_codes(file)
