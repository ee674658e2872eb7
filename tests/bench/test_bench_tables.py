"""Tables of results, in Markdown and HTML."""

import pytest

from kinbits.bench import Comparison, Experiment, bench, markdown_tables, write_tables
from kinbits.bench.tables import html, markdown
from kinbits.methods import MethodInfo, get_method, list_methods


def row(method, bits, seed, value):
    place = {"protocol": "p", "backbone": "b", "direction": "image to image"}
    return place | {"method": method, "bits": bits, "seed": seed, "map@all": value}


def test_tables_show_mean_deviation_and_interval_and_the_best_of_each_group_in_bold():
    rows = [row("shc", "16", s, v) for s, v in zip("012", ("0.5", "0.6", "0.7"), strict=True)]
    rows += [row("csq", "16", "0", "0.4"), row("shc", "8", "0", "0.1"), row("itq", "8", "0", "0.2")]
    rows += [row("itq", "16", "0", "0.8"), row("lsh", "16", "0", "0.3"), row("features (cosine)", "float", "0", "0.9")]
    (table,) = Comparison.from_rows(rows, "map@all")
    assert table.bits == ("8", "16")
    cells = dict(table.rows)
    assert (cells["shc"][1].mean, cells["shc"][1].deviation) == pytest.approx((0.6, 0.1))
    assert cells["shc"][1].halfwidth == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t with 2 degrees of freedom
    assert table.markdown().splitlines()[2:] == [
        "| method | 8 bits | 16 bits |",
        "| --- | ---: | ---: |",
        "| **Training-free** | | |",
        "| features (cosine) | 0.900 | 0.900 |",  # what has no bits stands in every column, and wins no prize
        "| itq | 0.200 | **0.800** |",  # at 8 bits it has no rival
        "| lsh | - | 0.300 |",
        "| **Supervised** | | |",
        "| shc | 0.100 | **0.600 ± 0.100** |",
        "| csq | - | 0.400 |",
    ]


def test_groups_stand_in_one_order_and_a_single_one_needs_no_heading():
    names = ["ours", "dcmh", "csq", "softmax", "cibhash", "itq", "features (cosine)", "csq (no penalty)"]
    (table,) = Comparison.from_rows([row(name, "8", "0", "0.5") for name in names], "map@all")
    assert [(group.heading, [label for label, _ in group.rows]) for group in table.groups] == [
        ("Training-free", ["features (cosine)", "itq"]),
        ("Unsupervised", ["cibhash"]),
        ("Baselines", ["softmax"]),
        ("Supervised", ["csq", "csq (no penalty)"]),
        ("Images and texts", ["dcmh"]),
        ("Other methods", ["ours"]),
    ]
    (table,) = Comparison.from_rows([row("ours", "8", "0", "0.5")], "map@all", methods={"ours": "csq"})
    assert [group.name for group in table.groups] == ["supervised"]
    assert "Supervised" not in table.markdown() + html("t", [table], "")


def test_every_method_has_its_row_whatever_its_group(monkeypatch):
    labels = [*list_methods(), "features (cosine)", "ours", "csq (no penalty)"]
    rows = [row(label, "8", "0", "0.5") for label in labels]
    for _ in range(2):
        (table,) = Comparison.from_rows(rows, "map@all")
        assert sorted(label for label, _ in table.rows) == sorted(labels)
        lines, page = table.markdown().splitlines(), html("t", [table], "")
        for label in labels:
            assert sum(line.startswith(f"| {label} | ") for line in lines) == 1
            assert page.count(f"<th scope='row'>{label}</th>") == 1
        monkeypatch.setattr(MethodInfo, "group", "of a new kind")
    assert [group.heading for group in table.groups] == ["Training-free", "Other methods", "Of a new kind"]


def test_a_caption_says_what_was_trained_searched_and_measured():
    place = {"protocol": "grocery-store", "direction": "text to image"}
    rows = [row("cca", "8", seed, "0.5") | place for seed in "01"]
    (table,) = Comparison.from_rows(rows, "map@all")
    assert table.caption == (
        "grocery-store (2,485 queries, 2,640 for training, 2,936 in the database), b, text to image: "
        "tie-aware map@all, mean ± deviation over 2 seeds"
    )


def test_rows_are_chosen_after_they_are_compared():
    rows = [row("itq", "8", "0", "0.5"), row("features (cosine)", "float", "0", "0.6")]
    rows += [row(name, "8", "0", value) for name, value in (("csq", "0.7"), ("shc", "0.9"), ("dch", "0.8"))]
    (table,) = Comparison.from_rows(rows, "map@all")
    assert table.top(2) == ["features (cosine)", "itq", "shc", "dch"]
    shown = table.only(["csq", "shc"])
    assert shown.markdown().splitlines()[4:] == ["| csq | 0.700 |", "| shc | **0.900** |"]
    assert table.only(["csq"]).legend == ""  # nothing is marked
    best = "Bold: the best mean of the methods in a group, also of those that are not shown."
    legend = f"{best} No test: values per query are missing."
    assert markdown_tables([shown, shown, table.only(["csq"])]).count(legend) == 1


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names():
    rows = [row("<b>x</b>", "8", "0", "0.5"), row("y", "8", "0", "0.25")]
    found = Comparison.from_rows(rows, "map@all")
    shown = html("<t>", found, "note")
    assert "<b>x" not in shown
    assert "&lt;b&gt;x" in shown
    assert "<td title='1 run: 0.5000'><strong>0.500</strong></td>" in shown
    assert "http" not in shown
    assert "<script" not in shown
    assert markdown("t", found, "note").startswith("# t\n\nnote\n\n**p, b: tie-aware map@all**")


def test_an_experiment_is_tested_with_the_values_of_its_queries(small, tmp_path):
    small |= {"methods": [{"method": "pca", "label": "ours"}, {"method": "pca", "label": "theirs"}], "bits": [8]}
    experiment = Experiment.from_dict(small | {"baselines": False, "seeds": [0], "training": {}})
    results = bench(experiment, tmp_path / "x.csv").results
    write_tables(experiment, results, "x")
    text = (tmp_path / "x.md").read_text()
    assert "Bold: the best mean of the methods in a group. †: not significantly below it" in text
    assert "| ours | **" in text  # the same method twice: both are the best
    assert "| theirs | **" in text
    results.query_values.path.unlink()
    write_tables(experiment, results, "x")
    assert "No test: values per query are missing." in (tmp_path / "x.md").read_text()


def test_stale_methods_are_named_below_their_table_and_rows_of_no_trial_are_left_out(small, tmp_path, monkeypatch):
    small |= {"methods": ["lsh", "pca", "itq"], "bits": [8], "seeds": [0], "training": {}, "baselines": False}
    results = bench(Experiment.from_dict(small), tmp_path / "x.csv").results
    fewer = Experiment.from_dict(small | {"methods": ["lsh", {"method": "pca", "label": "axes"}, "itq"]})
    write_tables(fewer, results, "x")
    text = (tmp_path / "x.md").read_text()
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][2:] == ["| lsh", "| itq"]
    assert "Stale" not in text
    monkeypatch.setattr(get_method("itq"), "version", 2)
    write_tables(fewer, results, "x")
    for suffix in (".md", ".html"):
        assert "Stale: itq. These rows were made with other settings" in (tmp_path / f"x{suffix}").read_text()


def test_a_stale_trial_is_named_in_the_table_of_its_protocol_and_backbone(small):
    trials = Experiment.from_dict(small | {"protocols": ["p", "q"], "backbones": ["b", "c"]}).trials()
    stale = [one for one in trials if (one.protocol, one.backbone, one.entry.label) == ("p", "b", "itq")]
    rows = [row(name, "8", "0", "0.5") | place for name in ("itq", "lsh") for place in ({}, {"protocol": "q"})]
    rows += [row("itq", "8", "0", "0.5") | {"backbone": "c"}]
    tables = [one.with_stale(stale) for one in Comparison.from_rows(rows, "map@all")]
    assert {one.setting[:2]: "Stale: itq." in one.legend for one in tables} == {
        ("p", "b"): True,
        ("q", "b"): False,
        ("p", "c"): False,
    }
    assert "Stale" not in tables[0].only(["lsh"]).legend
