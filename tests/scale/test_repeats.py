"""An id in two blocks is found, and equal hashes of different ids are no fault."""

from kinbits.scale import repeats
from kinbits.scale.repeats import repeated_id


def test_an_id_in_two_blocks_is_found():
    blocks = [["a", "b"], [], ["c", "a"]]
    assert repeated_id(blocks.__getitem__, 3) == ("a", 0, 2)
    assert repeated_id(blocks.__getitem__, 2) is None
    assert repeated_id(blocks.__getitem__, 0) is None


def test_ids_with_one_hash_are_compared_themselves(monkeypatch):
    monkeypatch.setattr(repeats, "hash", len, raising=False)
    blocks = [["a", "b"], ["c", "long"], ["d", "c"]]
    assert repeated_id(blocks.__getitem__, 2) is None
    assert repeated_id(blocks.__getitem__, 3) == ("c", 1, 2)
