"""The map of packages is that of the imports, and leaves out nothing but what other lines imply."""

import importlib.util
import re
from pathlib import Path

import pytest
from test_house import FLOORS, HOMES, SOURCE, files, imports, room_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def draw():
    """The script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location("draw_map", ROOT / "tools" / "draw_map.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(draw):
    return draw.packages(SOURCE)


def test_the_map_is_up_to_date(draw, graph):
    assert draw.TARGET.read_text() == draw.drawn(graph), "run: python tools/draw_map.py"


def test_its_imports_are_those_that_the_rules_of_the_house_see(graph):
    seen = {}
    for path in files():
        own = room_of(path)
        for module, name in imports(path) if own != "__main__" else ():
            parts = module.split(".")
            used = (parts[1] if len(parts) > 1 else HOMES.get(name, name)) if parts[0] == "kinbits" else own
            seen.setdefault(own, set()).update({used} & set(FLOORS) - {own})
    assert graph == seen


def test_a_line_is_left_out_only_where_others_imply_it(draw):
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert draw.reduced(graph) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert draw.levels(graph) == [["c", "d"], ["b"], ["a"]]
    drawing = draw.drawn(graph)
    assert drawing.count("<path") == 3
    assert re.findall(r">(\w)</text>", drawing) == ["a", "b", "c", "d"]
