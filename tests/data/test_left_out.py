from kinbits.data.left_out import ALREADY_READ, NOT_A_FILE, count_left_out


def test_counts_are_grouped_by_kind_and_the_commonest_are_named():
    reasons = ["file is empty (0 bytes)", "truncated", "truncated", ALREADY_READ, NOT_A_FILE, NOT_A_FILE]
    found = count_left_out(reasons, {".mov": 2, ".txt": 1, "": 3, ".a": 9, ".b": 7}, {".git": 1}, {"files": 2})
    assert str(found) == (
        "1 hidden (.git), 2 videos (.mov), 3 unreadable (truncated 2, file is empty (0 bytes) 1), "
        "2 pipes, sockets or devices, 1 repeated link, 20 other files (.a 9, .b 7, no extension 3, ...)"
    )
    assert found.followed == "links to 2 files"
    assert found.to_dict()["videos"] == {".mov": 2}


def test_nothing_left_out_is_empty_and_false():
    found = count_left_out([], {}, {}, {"files": 0})
    assert not found
    assert (str(found), found.followed, found.links) == ("", "", {})


def test_many_are_counted_in_thousands_and_odd_names_are_escaped():
    found = count_left_out([], {".\x1b[2J": 12_345}, {}, {"files": 1, "folders": 2})
    assert str(found) == "12,345 other files (.\\x1b[2J)"
    assert found.followed == "links to 1 file and 2 folders"
