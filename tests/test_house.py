"""The rules of the house: who may import whom, what loads when, how long a file may be."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kinbits

SOURCE = Path(kinbits.__file__).parent
# From the ground up; a part imports only parts above it in this list.
FLOORS = [
    "_errors",
    "_files",
    "_lazy",
    "_words",
    "_numbers",
    "_typed",
    "_plots",
    "_progress",
    "_code_rows",
    "_neighbours",
    "_runs",
    "hamming",
    "metrics",
    "index",
    "data",
    "backbones",
    "heads",
    "methods",
    "training",
    "labelling",
    "_task",
    "_inputs",
    "_training_data",
    "_parts",
    "_operating_points",
    "_card",
    "_artefact",
    "_restore",
    "_export",
    "model",
    "fitting",
    "evaluation",
    "bench",
    "testing",
    "_contact_sheet",
    "cli",
    "__main__",
]
WITHOUT_TORCH = ("hamming", "metrics", "index", "data")
LONGEST = 400


def part_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def files():
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def imported_parts(path):
    """Yield the parts that a file imports when it runs; imports under TYPE_CHECKING do not count."""
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(["kinbits", *path.relative_to(SOURCE).parts[:-1]])
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            stem = f"{base}.{node.module}" if node.level and node.module else base if node.level else node.module
            names = [f"{stem}.{alias.name}" for alias in node.names] if stem == "kinbits" else [stem]
        yield from (name.split(".")[1] for name in names if name.startswith("kinbits."))


def _without_type_checking(tree):
    class Drop(ast.NodeTransformer):
        def visit_If(self, node):
            hidden = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return None if hidden else self.generic_visit(node)

    return Drop().visit(tree)


def test_every_part_has_its_floor():
    assert {part_of(path) for path in files()} <= set(FLOORS)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_part_imports_only_lower_floors(path):
    own = part_of(path)
    # Public names on the package itself (kinbits.Index) are lazy and belong to the part that defines them.
    public = {
        "Index": "index",
        "HashModel": "model",
        "fit": "fitting",
        "load_dataset": "data",
        "evaluate": "evaluation",
    }
    for other in imported_parts(path):
        other = public.get(other, other)
        if other in FLOORS and other != own:
            assert FLOORS.index(other) < FLOORS.index(own), f"{own} imports {other}, which stands above it"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_longer_than_it_should_be(path):
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_the_lower_parts_work_without_torch(part):
    code = f"import sys; sys.modules['torch'] = None; import kinbits.{part}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
    assert sorted(kinbits._HOMES) == list(kinbits._HOMES)
    for name in kinbits.__all__:
        assert getattr(kinbits, name) is not None


@pytest.mark.parametrize("part", [f for f in FLOORS if (SOURCE / f / "__init__.py").exists() and f != "cli"])
def test_every_part_says_what_is_public(part):
    module = __import__(f"kinbits.{part}", fromlist=["__all__"])
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
