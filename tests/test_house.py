"""The rules of the house: who may import whom, what loads when, how long a file may be."""

import ast
import re
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import kinbits

SOURCE = Path(kinbits.__file__).parent
TESTS = Path(__file__).parent
# From the ground up: a room imports only from rooms above it in this list.
FLOORS = [
    "errors",
    "_util",
    "hamming",
    "metrics",
    "data",
    "perceptual",
    "backbones",
    "heads",
    "methods",
    "labelling",
    "attacks",
    "defences",
    "training",
    "model",
    "encoding",
    "index",
    "fitting",
    "sklearn",
    "evaluation",
    "robustness",
    "dedupe",
    "tuning",
    "bench",
    "testing",
    "scale",
    "serving",
    "cli",
    "__main__",
]
LONGEST = 400
# Names of the package itself, such as kinbits.Index, belong to the room that defines them.
HOMES = {
    name: node.module.split(".")[0]
    for node in ast.walk(ast.parse((SOURCE / "__init__.pyi").read_text()))
    if isinstance(node, ast.ImportFrom) and node.module
    for name in (alias.name for alias in node.names)
}


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def files():
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def module_of(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(["kinbits", *(parts[:-1] if parts[-1] == "__init__" else parts)])


def imports(path):
    """Yield the modules and names that a file imports when it runs; what stands under TYPE_CHECKING does not count."""
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


def _without_type_checking(tree):
    class Drop(ast.NodeTransformer):
        def visit_If(self, node):
            hidden = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return None if hidden else self.generic_visit(node)

    return Drop().visit(tree)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_from_the_doors_of_lower_rooms(path):
    own = room_of(path)
    for module, name in imports(path):
        parts = module.split(".")
        if parts[0] != "kinbits" or (module, name) == ("kinbits.hamming", "_native"):
            continue
        other = parts[1] if len(parts) > 1 else HOMES.get(name, name)
        if other == own:
            continue
        assert len(parts) <= 2, f"{own} goes past the door of {other}: {module}"
        assert FLOORS.index(other) < FLOORS.index(own), f"{own} imports {other}, which stands above it"


def test_there_is_no_circle_between_files():
    graph = {module_of(path): _files_imported(path) for path in files()}
    graph = {file: used & set(graph) for file, used in graph.items()}
    while graph:  # take away what imports nothing that is left, until nothing is left
        free = {file for file, used in graph.items() if not used & set(graph)}
        assert free, f"in a circle: {sorted(graph)}"
        graph = {file: used for file, used in graph.items() if file not in free}


@cache
def modules():
    return {module_of(path) for path in files()}


def _files_imported(path):
    own = module_of(path)
    found = set()
    for module, name in imports(path):
        room = ".".join(module.split(".")[:2])
        if room == ".".join(own.split(".")[:2]):  # other rooms stand on other floors
            found.add(f"{module}.{name}" if f"{module}.{name}" in modules() else module)
    return found - {own, room_module(own)}


def room_module(module):
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_longer_than_it_should_be(path):
    assert len(path.read_text().splitlines()) <= LONGEST


def test_no_two_files_of_tests_have_one_name():
    """pytest imports a file of tests by its bare name, so that a second one of that name is an error."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert not [name for name, times in names.items() if times > 1]


NAMED = re.compile(r"""(?:\bregister\(|new_method\(|kinbits new method )"?([a-z][a-z0-9-]+)""")


def test_tests_and_pages_register_methods_of_different_names():
    """Both run in one process, which knows a name once; which of them comes first is chance."""
    root = TESTS.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    in_tests, in_pages = (
        {name for path in paths for name in NAMED.findall(path.read_text())} for paths in (TESTS.rglob("*.py"), pages)
    )
    assert "my-idea" in in_pages
    assert not in_tests & in_pages


ARROW_READERS = {
    "pq.read_table",
    "pq.ParquetFile",
    "pq.read_schema",
    "parquet.read_table",
    "csv.read_csv",
    "arrow.read_csv",
}


def test_arrow_opens_the_files_that_it_reads():
    """A file of Python, given up by a thread of Arrow while the interpreter ends, aborts the process."""
    for path in files():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        opened = {
            ast.unparse(w.optional_vars) for w in nodes if isinstance(w, ast.withitem) and _calls(w, "open_arrow")
        }
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ARROW_READERS:
                assert ast.unparse(node.args[0]) in {"path", "paths[0]"} | opened, f"{path}:{node.lineno}"


def _calls(item, name):
    return isinstance(item.context_expr, ast.Call) and _last_name(item.context_expr.func) == name


def _last_name(node):
    return ast.unparse(node).rpartition(".")[2]


@pytest.mark.alone
def test_import_is_light_and_quick():
    code = "import kinbits, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    assert min(times) <= 0.3


def test_the_public_names_are_sorted_and_exist():
    assert kinbits.__all__ == sorted(kinbits.__all__)
    for name in kinbits.__all__:
        assert getattr(kinbits, name) is not None


@pytest.mark.parametrize("part", [f for f in FLOORS if (SOURCE / f / "__init__.py").exists() and f != "cli"])
def test_every_room_says_what_is_public(part):
    module = __import__(f"kinbits.{part}", fromlist=["__all__"])
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


COMMAND_LINE_IMPORTS = {"click", "kinbits", "rich", "typer", "yaml"}


@pytest.mark.parametrize("path", sorted((SOURCE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_parses_calls_and_prints(path):
    tops = {module.split(".")[0] for module, _ in imports(path)}
    assert tops - set(sys.stdlib_module_names) <= COMMAND_LINE_IMPORTS


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_only_the_mirror_of_a_file_looks_behind_its_door(path):
    """Tests of behaviour use what doors offer; tests/<room>/<shelf> may import the files of kinbits.<room>.<shelf>."""
    if path.parent == TESTS / "faults":  # faults are injected inside
        return
    for module, name in imports(path):
        parts = module.split(".")[1:] if module.startswith("kinbits.") else []
        if parts and name and (SOURCE.joinpath(*parts) / f"{name}.py").exists():
            parts = [*parts, name]  # a file that is imported as a module
        folder = SOURCE.joinpath(*parts)
        if not parts or len(parts) == 1 or (folder / "__init__.pyi").exists():
            continue
        mirror = TESTS.joinpath(*(parts if folder.is_dir() else parts[:-1]))
        assert path.parent == mirror, f"{'.'.join(parts)} is behind a door; use the door, or move the test to {mirror}"
