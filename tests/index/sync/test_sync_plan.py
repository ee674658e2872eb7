"""What has to be done is decided by sizes, times and contents, for any files before and after."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits.index.sync.listing import FileStamp
from kinbits.index.sync.plan import FileRecord, Item, make_plan

PATHS = [f"{folder}{name}" for folder in ("", "a/", "b/") for name in ("x.png", "y.png", "z.png")]
CONTENTS = st.sampled_from([b"1", b"2", b"3", b"44", b"55"])
FILES = st.dictionaries(st.sampled_from(PATHS), st.tuples(CONTENTS, st.sampled_from([-1, 10, 20])))


def stamp(content, mtime):
    return FileStamp(len(content), mtime)


def planned(before, after, faults=(), **options):
    """Plan from files before and after, as path -> (contents, time); faults are paths that cannot be read."""
    items = [
        Item(f"id of {path}", path, FileRecord(stamp(*file), file[0]) if file else None)
        for path, file in before.items()
    ]
    read = []

    def hashes(paths):
        chosen = list(paths)
        read.extend(chosen)
        return {path: after[path][0] for path in chosen}

    stamps = {path: stamp(*file) for path, file in after.items()}
    plan = make_plan(items, stamps, lambda path: "broken" if path in faults else None, hashes, **options)
    return plan, read


@settings(max_examples=300, deadline=None)
@given(FILES, FILES, st.booleans())
def test_each_item_and_each_file_has_one_place_in_a_plan(before, after, checksum):
    plan, read = planned(before, after, checksum=checksum)
    moved = {item.path: path for item, path, _ in plan.moved}
    touched = [item.path for item, _ in plan.touched]
    others = [item.path for item in (*plan.unchanged, *plan.changed, *plan.gone)]
    assert sorted(before) == sorted([*touched, *moved, *others])
    assert sorted(after.keys() - before.keys()) == sorted([*plan.new, *moved.values()])
    assert len(read) == len(set(read))  # no file is read twice
    for path in [item.path for item in plan.changed]:
        assert before[path][0] != after[path][0] or before[path][1] < 0 or len(before[path][0]) != len(after[path][0])
    for item in plan.unchanged:
        assert not checksum
        assert stamp(*before[item.path]).same(stamp(*after[item.path]))
    for path in touched:
        assert before[path][0] == after[path][0]
    for old, new in moved.items():
        assert old not in after
        assert new not in before
        assert before[old][0] == after[new][0]
    lost = Counter(before[item.path][0] for item in plan.gone)
    assert not lost.keys() & {after[path][0] for path in plan.new}, "a move was overlooked"


@given(FILES)
def test_without_changes_no_file_is_read(files):
    settled = {path: (content, 10) for path, (content, _) in files.items()}
    plan, read = planned(settled, settled)
    assert (len(plan.unchanged), read, plan.to_encode) == (len(settled), [], 0)


def test_only_new_files_of_the_size_of_a_lost_one_are_read():
    _, read = planned({"a/x.png": (b"44", 1), "y.png": (b"1", 1)}, {"y.png": (b"1", 1), "z.png": (b"2", 1)})
    assert read == []
    plan, read = planned({"a/x.png": (b"44", 1)}, {"y.png": (b"55", 1), "z.png": (b"44", 1), "x.png": (b"1", 1)})
    assert sorted(read) == ["y.png", "z.png"]
    assert [(item.path, path) for item, path, _ in plan.moved] == [("a/x.png", "z.png")]


def test_of_equal_files_the_one_with_the_same_name_is_meant():
    before = {"a/x.png": (b"1", 1), "a/y.png": (b"1", 1)}
    plan, _ = planned(before, {"b/y.png": (b"1", 1), "c.png": (b"1", 1)})
    assert {(item.path, path) for item, path, _ in plan.moved} == {("a/y.png", "b/y.png"), ("a/x.png", "c.png")}


def test_items_without_a_record_and_files_that_cannot_be_read():
    before = {"a.png": None, "b.png": (b"1", 1), "c.png": None}
    plan, _ = planned(before, {"a.png": (b"1", 1)}, faults=("b.png",))
    assert [item.path for item in plan.unknown] == ["a.png"]
    assert (plan.kept, [item.path for item in plan.gone]) == ({"b.png": "broken"}, ["c.png"])


def test_a_file_that_vanishes_while_it_is_compared_is_kept_for_the_next_run():
    item = Item("i", "x.png", FileRecord(FileStamp(1, 1), b"1"))
    plan = make_plan([item], {"x.png": FileStamp(1, 2)}, lambda path: None, lambda paths: {})
    assert (plan.kept, plan.changed, plan.gone) == ({"x.png": "file cannot be read"}, [], [])
