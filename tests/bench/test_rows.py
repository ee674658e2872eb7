"""Files of results that people edited: read if that is possible, else told with the line."""

import csv

import pytest

from kinbits.bench import Results
from kinbits.errors import ArtefactError, PlatformError

METRICS = ["map@all", "precision@r2"]


@pytest.fixture
def path(tmp_path):
    """A file of two rows, the second without a value that its method does not have."""
    results = Results(tmp_path / "x.csv", METRICS)
    row = dict.fromkeys(results.columns, "text") | {"seed": "0", "seconds": "1.5", "peak_mb": "80"}
    rows = [row | {"bits": "16", "map@all": "0.500000", "precision@r2": "0.25", "method": "a, or b"}]
    rows += [row | {"bits": "float", "map@all": "0.625000", "precision@r2": ""}]
    with results.path.open("w", newline="") as file:
        writer = csv.DictWriter(file, results.columns)
        writer.writeheader()
        writer.writerows(rows)
    return results.path


def edited(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_file_that_a_spreadsheet_saved_is_read(path):
    before = Results(path, METRICS).rows
    assert [(row["method"], row["bits"], row["precision@r2"]) for row in before] == [
        ("a, or b", "16", "0.25"),
        ("text", "float", ""),
    ]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n") + b"\n")
    assert Results(path, METRICS).rows == before


def test_a_file_of_before_a_column_reads_as_empty_there_and_is_written_with_it(path):
    text = path.read_text().replace("version,method_version,", "version,").replace("text,text,text,text\n", "a,b,c\n")
    path.write_text(text)
    results = Results(path, METRICS)
    assert [(row["version"], row["method_version"], row["commit"]) for row in results] == [("a", "", "b")] * 2
    results.prune(results.rows[1:])
    assert path.read_text().splitlines()[0].endswith("version,method_version,commit,hardware")
    assert [(row["method_version"], row["commit"]) for row in Results(path, METRICS)] == [("", "b")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("0.500000", "0;5", "line 2: map@all is '0;5'; give a number such as 0.25, or delete the line"),
        ("0.25", "n/a", "line 2: precision@r2 is 'n/a'; give a number"),
        ("16", "16.0", "line 2: bits is '16.0'; give a whole number, or 'float'"),
        ("float,0", "float,first", "line 3: seed is 'first'; give a whole number"),
        ("float", "", "line 3: bits is ''; give a whole number"),
        ("0.625000", "0,625000", "line 3 has 17 cells, not 16; mend the line, or delete it"),
        ("0.625000", "text\n", "line 3 has 7 cells, not 16"),
        ('or b"', "or b", "line 3: unexpected end of data"),
        ("map@all,", "", r"line 1: the file lacks the columns map@all; choose another file, or move that one away"),
        ("seed,", "seeds,", "line 1: the file lacks the columns seed and has the columns seeds;"),
        ("bits,seed", "seed,bits", "line 1: the columns are in another order"),
    ],
)
def test_a_wrong_line_is_told_with_what_to_do(path, old, new, told):
    edited(path, old, new)
    with pytest.raises(ArtefactError, match=rf"x\.csv, {told}"):
        Results(path, METRICS)


def test_a_truncated_last_line_is_no_row(path):
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArtefactError, match=r"x\.csv, line 3 has 11 cells, not 16"):
        Results(path, METRICS)


@pytest.mark.parametrize(("content", "told"), [(b"", "lacks the columns"), (b"protocol\n\xff\n", "line 2 is no UTF-8")])
def test_a_file_of_other_bytes_is_told(path, content, told):
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=told):
        Results(path, METRICS)


def test_a_folder_in_its_place_is_told(path):
    path.unlink()
    path.mkdir()
    with pytest.raises(PlatformError, match=r"x\.csv cannot be read"):
        Results(path, METRICS)
