"""Draw which packages of kinbits import which others: python tools/draw_map.py writes docs/images/architecture.svg.

A line leads from a package down to one that it imports. Lines that others imply are left out: with a line from A to B
and one from B to C there is none from A to C. The map is drawn from the imports themselves, and a test compares it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, TARGET = ROOT / "src" / "kinbits", ROOT / "docs" / "images" / "architecture.svg"
EVERYWHERE = ("errors", "_util")  # nearly all packages import these
WIDTH, HEIGHT, GAP, RISE = 104, 30, 18, 76  # pixels
Graph = dict[str, set[str]]  # package -> packages that it imports
STYLE = (
    "rect{fill:#e0f2f1;stroke:#00796b;rx:6}text{font:13px sans-serif;text-anchor:middle;fill:#102a28}"
    "path{fill:none;stroke:#5f7f7b;stroke-width:1.3}"
    "@media(prefers-color-scheme:dark){rect{fill:#12403b;stroke:#4db6ac}text{fill:#e0f2f1}path{stroke:#8fb5b0}}"
)


def main() -> None:
    """Write the map."""
    TARGET.write_text(drawn(packages(SOURCE)))
    print(f"wrote {TARGET}")


def packages(source: Path) -> Graph:
    """Return the imports between packages: of code that runs, not those for type checkers alone."""
    homes = _homes(source)
    graph: Graph = {}
    for path in sorted(source.rglob("*.py")):
        own = path.relative_to(source).parts[0].removesuffix(".py")
        if own not in ("__init__", "__main__"):
            used = graph.setdefault(own, set())
            used.update({homes.get(name, name) for name in _imported(path)} - {own})
    return {name: used & set(graph) for name, used in graph.items()}  # without names such as __version__


def _homes(source: Path) -> dict[str, str]:
    """Return the package that defines each name which kinbits itself offers, such as `kinbits.Index`."""
    nodes = ast.walk(ast.parse((source / "__init__.pyi").read_text()))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: str(node.module).split(".")[0] for node in found for alias in node.names}


def _imported(path: Path) -> Iterator[str]:
    """Yield the second part of each name below ``kinbits`` that a file imports."""
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "kinbits":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kinbits."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from (parts[1] for parts in names if parts[0] == "kinbits" and len(parts) > 1)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def reduced(graph: Mapping[str, set[str]]) -> Graph:
    """Return the imports that no chain of others implies."""
    below: Graph = {}
    for name in TopologicalSorter(graph).static_order():
        below[name] = graph[name].union(*(below[used] for used in graph[name]))
    return {name: used - set[str]().union(*(below[one] for one in used)) for name, used in graph.items()}


def levels(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the packages in rows from the ground up; each imports only from rows below its own."""
    level: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        level[name] = 1 + max((level[used] for used in graph[name]), default=-1)
    rows: dict[int, list[str]] = {}
    for name in sorted(graph):
        rows.setdefault(level[name], []).append(name)
    return [rows[number] for number in sorted(rows)]


def drawn(graph: Mapping[str, set[str]]) -> str:
    """Return the map as SVG: the ground, which nearly all import, below, and the command line on top."""
    shown = {name: used - set(EVERYWHERE) for name, used in graph.items() if name not in EVERYWHERE}
    lines, rows = reduced(shown), levels(shown)
    rows = _untangled(rows, lines)
    width = max(map(len, rows)) * (WIDTH + GAP) + GAP
    height = (len(rows) + 1) * RISE
    places = {
        name: (width / 2 + (number - (len(row) - 1) / 2) * (WIDTH + GAP), height - (level + 2) * RISE + RISE / 2)
        for level, row in enumerate(rows)
        for number, name in enumerate(row)
    }
    paths = [_line(places[name], places[used]) for name in sorted(lines) for used in sorted(lines[name])]
    boxes = [_box(name, *places[name]) for name in sorted(places)]
    ground = _box(" and ".join(EVERYWHERE), width / 2, height - RISE / 2, width - 2 * GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Packages of kinbits; lines lead down to what a package imports">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *paths, *boxes, ground, "</svg>"]) + "\n"


def _untangled(rows: list[list[str]], lines: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the rows, each ordered by the mean place of what its packages import, so that fewer lines cross."""
    place: dict[str, float] = {}

    def mean(name: str) -> tuple[float, str]:
        below = [place[used] for used in lines[name]]
        return (sum(below) / len(below) if below else 0.0, name)

    ordered = []
    for row in rows:
        ordered.append(sorted(row, key=mean))
        place.update({name: number - (len(row) - 1) / 2 for number, name in enumerate(ordered[-1])})
    return ordered


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = (start[0], start[1] + HEIGHT / 2), (end[0], end[1] - HEIGHT / 2)
    bend = RISE / 2
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"/>'


def _box(name: str, x: float, y: float, width: float = WIDTH) -> str:
    left, top = x - width / 2, y - HEIGHT / 2
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{HEIGHT}"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}">{name}</text>'
    )


if __name__ == "__main__":
    main()
