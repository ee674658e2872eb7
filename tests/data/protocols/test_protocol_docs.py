"""docs/protocols.md holds a table of the definitions; this keeps it true."""

from pathlib import Path

from kinbits.data import find_protocol, list_protocols

PAGE = Path(__file__).parents[3] / "docs" / "protocols.md"
START, END = "<!-- definitions -->\n", "<!-- /definitions -->"


def table():
    rows = ["| protocol | query | train | database | labels | cut-off | checksum |", "| --- " * 7 + "|"]
    for name in list_protocols():
        own = find_protocol(name)
        if own.required_files is None:
            continue
        train = f"{own.train:,}" + (" (in database)" if own.overlap else "") if own.train else "none"
        labels = f"{own.classes:,}" if own.classes else "none, ground-truth lists"
        cells = [f"`{name}`", f"{own.query:,}", train, f"{own.database:,}", labels]
        cells += [f"{own.cutoff:,}" if own.cutoff else "all", f"`{own.checksum[:8]}`" if own.checksum else "not fixed"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_protocols_is_that_of_the_definitions():
    text = PAGE.read_text()
    found = text.partition(START)[2].partition(END)[0]
    assert found == table(), f"docs/protocols.md is stale; between its markers belongs:\n{table()}"
