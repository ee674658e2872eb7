"""Files of every released version still open and give the same answers: see tools/golden.py, which wrote them."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

import kinbits
from kinbits import ArtefactError

HERE = Path(__file__).parent
VERSIONS = sorted(path.parent.name for path in HERE.glob("*/expected.json"))
EXPECTED = {version: json.loads((HERE / version / "expected.json").read_text()) for version in VERSIONS}
LARGEST = 300_000  # bytes of a version


@pytest.fixture(scope="module")
def golden():
    """The script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location("golden", HERE.parents[1] / "tools" / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A copy of all versions, because reading may write, such as a resumed run."""
    return Path(shutil.copytree(HERE, tmp_path_factory.mktemp("golden") / "golden"))


@pytest.mark.parametrize(("version", "name"), [(v, name) for v in VERSIONS for name in EXPECTED[v]])
def test_an_artefact_opens_and_gives_the_same_answers(version, name, golden, copies):
    if name == "checkpoint" and version.split(".")[:2] != kinbits.__version__.split(".")[:2]:
        pytest.skip("an interrupted run is continued by the version that began it")
    assert golden.READERS[name](copies / version / name) == EXPECTED[version][name]


def test_this_version_has_a_complete_set(golden):
    assert set(EXPECTED[kinbits.__version__]) == set(golden.READERS)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_artefact_is_expected_and_all_are_small(version):
    assert {path.name for path in (HERE / version).iterdir()} == {*EXPECTED[version], "expected.json"}
    assert sum(path.stat().st_size for path in (HERE / version).rglob("*") if path.is_file()) < LARGEST


def test_files_of_a_version_are_not_written_again(golden):
    with pytest.raises(SystemExit, match=r"exists, and golden files are never written again; raise __version__ first"):
        golden.main()


def test_a_damaged_checkpoint_is_told(golden, copies):
    damaged = copies / kinbits.__version__ / "checkpoint" / "last.ckpt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ArtefactError):
        golden.fit(damaged.parent, resume=True)
