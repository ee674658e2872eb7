import pytest

from kinbits.data import Protocol, RequiredFiles, find_protocol, list_protocols
from kinbits.errors import UsageError


@pytest.mark.parametrize("name", list_protocols())
def test_every_card_states_what_makes_two_numbers_comparable(name):
    own = find_protocol(name)
    card = own.card()
    lines = {line.split()[0] for line in card.splitlines() if not line.startswith(" ")}
    assert {"train", "query", "database", "relevant", "metric", "ties", "no", "checksum", "files"} <= lines
    assert own.metrics[0] in card
    assert max(map(len, card.splitlines())) <= 100
    for part in ("train", "query", "database"):
        assert not getattr(own, part) or f"{getattr(own, part):,}" in card
    assert own.checksum in card
    if name not in ("folder", "lists"):
        assert own.source
        assert own.required_files.names[0] in card


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nuswide-81", "metric     map@5000 over the first 5,000 of the ranking"),
        ("nuswide-81", "5,000, 1,131 of them without a label"),
        ("nuswide-21", "database   193,734, the train rows among them"),
        ("flickr25k-38", "map@all over the whole database"),
        ("gldv2", "map@100 over the first 100"),
        ("roxford5k", "junk is deleted from the ranking"),
        ("roxford5k", "train      none"),
        ("coco", 'legacy="hashnet"'),
        ("nuswide-21", "ndcg, acg and wmap count the shared labels; 21 classes"),
        ("grocery-store", "hp and mahp count nearness in the class tree"),
        ("folder", "query      as the source has it"),
    ],
)
def test_cards_say_what_is_particular(name, said):
    assert said in find_protocol(name).card()


# Sizes and cut-offs of the field's tables: query, train, database, cut-off.
TABLE = {
    "cifar10-1k-5k-59k": (1_000, 5_000, 59_000, None),
    "cifar10-1k-5k-54k": (1_000, 5_000, 54_000, None),
    "cifar10-10k-50k": (10_000, 50_000, 50_000, None),
    "cifar10-10k-5k-50k": (10_000, 5_000, 50_000, 1_000),
    "nuswide-21": (2_100, 10_500, 193_734, 5_000),
    "nuswide-21-m": (2_100, 10_500, 149_736, 5_000),
    "nuswide-81": (5_000, 10_000, 168_692, 5_000),
    "coco": (5_000, 10_000, 117_218, 5_000),
    "imagenet-100": (5_000, 13_000, 128_503, 1_000),
    "flickr25k-38": (1_000, 4_000, 20_000, None),
    "flickr25k-38-prosgan": (1_700, 4_496, 23_300, None),
    "flickr25k-24": (2_000, 10_000, 18_015, None),
    "cub-200": (5_794, 5_994, 5_994, None),
    "gldv2": (1_129, 1_580_470, 761_757, 100),
    "roxford5k": (70, 0, 4_993, None),
    "rparis6k": (70, 0, 6_322, None),
    "clothing1m": (10_526, 1_000_000, 47_570, 1_000),
}


@pytest.mark.parametrize("name", TABLE)
def test_sizes_and_cutoffs_are_those_of_the_literature(name):
    own = find_protocol(name)
    assert (own.query, own.train, own.database, own.cutoff) == TABLE[name]


def test_a_definition_is_found_without_its_data_and_a_typo_names_the_nearest():
    assert isinstance(find_protocol("gldv2"), Protocol)
    with pytest.raises(UsageError, match="did you mean roxford5k"):
        find_protocol("oxford5k")


def test_the_most_complete_folder_wins_and_what_the_first_lacks_is_named(tmp_path, monkeypatch):
    required_files = RequiredFiles(("set",), ("list.txt | other.txt", "images"), "from somewhere")
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path / "b"))
    (tmp_path / "a" / "set").mkdir(parents=True)
    missing = required_files.missing(tmp_path / "a")
    assert "a/set lacks list.txt or other.txt, images; put them there (from somewhere)" in missing
    (tmp_path / "b" / "set" / "images").mkdir(parents=True)
    (tmp_path / "b" / "set" / "other.txt").write_text("x")
    assert required_files.find(tmp_path / "a") == tmp_path / "b" / "set"
    assert required_files.missing(tmp_path / "a") == ""
