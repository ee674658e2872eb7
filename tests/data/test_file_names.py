import os

from hypothesis import given
from hypothesis import strategies as st

from kinbits.data import paths_of_id
from kinbits.data.file_names import LONGEST_ID, id_of_frame, id_of_path

file_names = st.binary(min_size=1, max_size=40).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"x")))


@given(file_names)
def test_an_id_is_text_and_leads_back_to_its_file(name):
    made = id_of_path(name)
    made.encode("utf-8")
    assert name in {path for path, frame in paths_of_id(made) if frame is None}


@given(file_names, st.integers(0, 10_000))
def test_the_id_of_a_frame_leads_back_to_both(name, frame):
    assert (name, frame) in set(paths_of_id(id_of_frame(id_of_path(name), frame)))


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30), st.sampled_from(["d", "é", "☃", "🙂"]))
def test_long_ids_are_cut_to_the_limit_and_differ(start, end, filling):
    names = [start + filling * 600 + middle + filling * 600 + end for middle in "ab"]
    ids = [id_of_path(name) for name in names]
    assert ids[0] != ids[1]
    for one in ids:
        assert len(one.encode("utf-8")) <= LONGEST_ID
    assert ids[0] == id_of_path(names[0])
