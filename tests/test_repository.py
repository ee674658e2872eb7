"""What surrounds the code: workflows, versions, the lock file, licences, and what a source distribution holds."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kinbits

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][\w-]*(?: [a-z][\w-]*)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
# Programs that each runner has, or that an earlier step of the same job installs.
PROGRAMS = {"actionlint", "apt-get", "gh", "kinbits", "make", "pip", "python", "python3", "zizmor"}


def tool(name):
    """Import a script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def pins(file):
    found = tool("lock").pins((ROOT / file).read_text())
    return {canonicalize_name(name): version for name, version in found.items()}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return yaml.safe_load(request.param.read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def test_workflows_have_no_known_weakness():
    program = Path(sys.executable).parent / "zizmor"
    options = ["--offline", "--no-progress", "--min-severity", "medium", "--persona", "regular"]
    done = subprocess.run([program, *options, ".github"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing():
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed; the workflow ci.yml installs it")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_workflow_may_only_read_unless_a_job_says_why(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 90, name
        assert not {"write-all", "read-all"} & {str(job.get("permissions"))}


def test_actions_are_pinned_to_a_commit_with_its_version():
    for path in WORKFLOWS:
        for line in re.findall(r"^.*\buses: .*$", path.read_text(), re.MULTILINE):
            local = re.search(r"uses: \./(\S+)$", line)
            assert (ROOT / local[1]).is_file() if local else re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_workflows_pin_each_action_to_one_version():
    used = {use for path in WORKFLOWS for use in re.findall(r"uses: ([^.\s]\S+@\S+ # \S+)", path.read_text())}
    assert len(used) == len({use.partition("@")[0] for use in used})


def test_commands_of_workflows_exist(workflow):
    targets = {name for line in TARGETS for name in line.split()}
    for step in steps(workflow):
        for line in step.get("run", "").splitlines():
            for command in line.split(" && "):
                words = command.split()
                if words[0] == "make":
                    assert set(words[1:]) <= targets, command
                assert words[0] in PROGRAMS or words[0].startswith('"$RUNNER_TEMP/fresh/bin/'), command
                for script in re.findall(r"\b(?:tools|tests)/[\w/]+\.py", command):
                    assert (ROOT / script).is_file(), command


def test_every_tested_python_is_allowed_and_the_oldest_is_tested():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["linux"]["strategy"]["matrix"]
    named = {re.search(r"3\.\d+$", one)[0] for one in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d", one)}
    assert named <= set(matrix["python"])
    assert PROJECT["project"]["requires-python"] == f">={matrix['python'][0]}"
    built = re.findall(r"cp3(\d+)-", PROJECT["tool"]["cibuildwheel"]["build"])
    assert matrix["python"] == [f"3.{minor}" for minor in built]


def test_versions_agree(tmp_path):
    notes = tool("release_notes")
    assert set(notes.versions(ROOT).values()) == {kinbits.__version__}
    for name in ("src/kinbits/__init__.py", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    assert notes.problems("0.0.9", tmp_path) == [
        f"src/kinbits/__init__.py has version {kinbits.__version__}, and the tag 0.0.9",
        f"CITATION.cff has version {kinbits.__version__}, and the tag 0.0.9",
        "CHANGELOG.md has no section '## [0.0.9] - DATE'",
    ]
    log = "# Changelog\n\n## [Unreleased]\n\n## [1.0.0] - 2027-01-31\n\n- New.\n\n## [0.9.0] - 2026-12-31\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    assert notes.section("1.0.0", tmp_path) == "- New."
    assert notes.section("0.9.0", tmp_path) == "- Old."


def test_the_citation_has_what_its_format_asks_for():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    known = {"abstract", "authors", "cff-version", "keywords", "license", "message", "title", "type", "version"}
    assert {"cff-version", "message", "title", "authors"} <= found.keys() <= known
    assert found["cff-version"] == "1.2.0"
    assert found["license"] == PROJECT["project"]["license"]
    assert [one["name"] for one in found["authors"]] == [one["name"] for one in PROJECT["project"]["authors"]]


def test_the_lock_file_has_the_versions_of_the_constraints():
    locked, constraints = pins("requirements-dev.txt"), pins("constraints.txt")
    assert {name: constraints.get(name) for name in locked} == locked, "run: make lock"


def test_the_lock_file_has_all_direct_requirements_with_hashes():
    text = (ROOT / "requirements-dev.txt").read_text()
    extras = PROJECT["project"]["optional-dependencies"]
    waiting, needed = ["dev"], list(map(Requirement, PROJECT["project"]["dependencies"]))
    for extra in waiting:
        for one in map(Requirement, extras[extra]):
            (waiting.extend(set(one.extras) - set(waiting)) if one.name == "kinbits" else needed.append(one))
    names = {canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate()}
    assert names - pins("requirements-dev.txt").keys() == {"torch"}, "run: make lock"
    assert f"torch=={pins('constraints.txt')['torch']}\n" in text, "the head names another version of torch"
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"(?m)^(?!#).*(?:://|file:|--(?:extra-)?index-url|--find-links)", text)


def test_hooks_have_the_versions_of_the_constraints():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    named = {one for hook in local["hooks"] for one in hook.get("additional_dependencies", [])}
    constraints = pins("constraints.txt")
    assert named == {f"{name}=={constraints[name]}" for name in ("clang-format", "ruff")}


@pytest.mark.parametrize("name", ["bug", "idea", "method"])
def test_forms_of_issues_ask_something(name):
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    assert {"name", "description", "body"} <= form.keys()
    asked = [one for one in form["body"] if one["type"] != "markdown"]
    assert all(one["attributes"]["label"] for one in asked)
    assert len({one["id"] for one in asked}) == len(asked) >= 3


def test_no_address_of_a_person_is_given():
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "CITATION.cff"):
        assert "@" not in (ROOT / name).read_text()


def test_every_dependency_has_an_allowed_licence():
    sbom = tool("sbom")
    packages, missing = sbom.installed("all")
    assert set(missing) <= {"timm", "torchvision"}  # a torchvision that fits torch is not everywhere
    assert [f"{one.name}: {one.licence}" for one in packages if not sbom.allowed(one.licence)] == []
    bill = sbom.bill_of_materials(packages, "all")
    names = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {one["ref"] for one in bill["dependencies"]} == names
    assert {used for one in bill["dependencies"] for used in one["dependsOn"]} <= names
    assert "| numpy |" in sbom.table(packages, missing)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-2.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND GPL-2.0-only", False),
        ("not stated", False),
    ],
)
def test_one_of_two_licences_is_enough_and_all_parts_count(licence, allowed):
    assert tool("sbom").allowed(licence) is allowed


@pytest.mark.slow
def test_the_source_distribution_holds_what_a_build_needs(tmp_path):
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    assert path.stat().st_size < 5e6
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {str(one.relative_to(ROOT)) for one in (ROOT / "csrc").iterdir()}
    needed = {"CMakeLists.txt", "LICENSE", "licences/nanobind.txt", "pyproject.toml", "src/kinbits/py.typed", *sources}
    needed |= {f"src/{name}" for name in tool("check_wheel").NEEDED if name.startswith("kinbits/")}
    assert needed - names == set()
    unwanted = r"results/|experiments/|benchmarks/|build/|dist/|\.|.*(__pycache__|\.so$|\.pyc$|\.parquet$)"
    assert [one for one in names if re.match(unwanted, one) and not one.startswith("tests/golden/")] == []
