"""Every console and Python block of README, CONTRIBUTING and docs runs, top to bottom, and prints what it states."""

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from backbone_helpers import save_random
from example_files import EMOJI, SCENE, write_examples
from postgres_helpers import postgres_in_environment
from sybil import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from kinbits.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PRINTED = re.compile(r"\s*```text\n(.*?)```", re.DOTALL)  # a block of text right after one of Python
SHELL = {"|", ">", "<", "&&", ";"}
NEEDED = {"text-and-images": EMOJI, "bcdh": SCENE}  # files of KINBITS_DATA, by page
LARGE = ("chdb", "lancedb")  # of the extra exchange, which `make exchange` installs and no other test needs
SERVICES: list[subprocess.Popen[str]] = []  # which run until the page is done
QUICK = ("--epochs", "4")  # pages of methods and defences show how one is called, not what it reaches
SAMPLED = ("README.md", "docs/photos.md")  # pages whose dedupe measures itself on few images


def name(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One folder with the examples' files, and one cache of features, for all pages."""
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder)
    return folder


@pytest.fixture
def folder(files, monkeypatch, tmp_path_factory):
    """The examples' folder as the working directory; what a page writes into it is removed afterwards."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path_factory.getbasetemp() / "examples-cache"))
    before = set(files.iterdir())
    yield files
    while SERVICES:
        service = SERVICES.pop()
        service.terminate()
        service.communicate()
    for path in set(files.iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_a_page_runs(page, folder):
    if page.stem in NEEDED and not NEEDED[page.stem].is_file():
        pytest.skip(f"needs {NEEDED[page.stem].name} in KINBITS_DATA")
    if page.stem == "text-and-images":
        save_random("clip", folder / "clip")  # as small as it is, it finds nothing
    console = CodeBlockParser("console", evaluator=run_console)
    python = CodeBlockParser("python", evaluator=run_python)
    document = Document.parse(str(page), console, python, CodeBlockParser("yaml", evaluator=write_yaml))
    document.namespace["__name__"] = page.stem
    with postgres_in_environment() if page.stem == "engines" else contextlib.nullcontext():
        for example in document:
            example.evaluate()


def test_every_command_on_a_page_is_in_a_block_that_runs():
    for page in PAGES:
        text = re.sub(r"^```(console|python)\n.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        others = re.findall(r"^```\w*\n.*?^```$|^ {4,}\S.*$", text, re.DOTALL | re.MULTILINE)
        commands = [
            line for block in others for line in re.findall(r"(?m)^ *(?:\$ )?(?:kinbits|make|pip|import) .*", block)
        ]
        assert not commands, f"{name(page)}: put {commands[0]!r} into a block of `console` or `python`"


def write_yaml(example):
    """Write a block that begins with the name of a file, such as ``# trials.yaml``, to that file."""
    named = re.match(r"# (\w+\.yaml)\n", example.parsed)
    if named:
        Path(named[1]).write_text(example.parsed)


def run_python(example):
    """Run a block in the namespace of its page; return what it prints if another output is stated below it."""
    if any(f"import {package}\n" in example.parsed and find_spec(package) is None for package in LARGE):
        return None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        PythonEvaluator()(example)
    stated = PRINTED.match(example.document.text, example.region.end)
    if stated and not same(stated[1], printed.getvalue()):
        return f"printed\n{printed.getvalue()}\ninstead of\n{stated[1]}"
    return None


def run_console(example):
    """Run the commands of a block; return what differs from the output that it states."""
    for command, stated in commands_of(example.parsed):
        code, out, err = run(command, Path(example.path))
        failed = code != 0 and "error:" not in stated
        if failed or (stated and not any(map(partial(same, stated), (out, err, err + out)))):
            return f"$ {command}\nended with {code} and printed\n{err + out}\ninstead of\n{stated or '(anything)'}"
    return None


def same(stated, printed):
    """Compare as doctest does: ``...`` stands for anything, and widths of spaces do not matter."""
    return doctest.OutputChecker().check_output(stated, printed, FLAGS)


def commands_of(block):
    """Split a block into commands and the output below each; a command may go on after a backslash."""
    parts = re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]
    return [part.partition("\n")[::2] for part in parts]


def run(command, page):
    """Run one command: kinbits in this process, which is much faster, and everything else by a shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if words[:2] == ["kinbits", "serve"]:
        return start_service(words[1:])
    if words[0] == "kinbits" and not SHELL & set(words):
        if page.parent.name in ("methods", "defences") and words[1] == "fit":
            words += [*QUICK, *(["--pretrain-epochs", "2"] if "--pretrain" in words else [])]
            words += ["--param", "iterations=3"] if "opq" in words else []
        if words[1:3] == ["dedupe", "photos"] and name(page) in SAMPLED:
            words += ["--sample", "4"]
        return run_kinbits(words[1:])
    if words[:2] == ["pip", "install"]:
        return check_extras(words[2:])
    if words[0] == "make":
        command = f"{shlex.join(['make', '-n', *words[1:]])}"  # `make test` runs this very test
    at_root = words[0] in ("make", ".venv/bin/python")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command.replace(".venv/bin/python", sys.executable),
        shell=True,
        cwd=ROOT if at_root else None,
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def start_service(arguments):
    """Start a service, wait until its models are loaded, and return what it said."""
    service = subprocess.Popen([sys.executable, "-m", "kinbits", *arguments], stderr=subprocess.PIPE, text=True)
    SERVICES.append(service)
    said = ""
    for line in service.stderr:
        said += line
        if "model loaded" in line:
            return 0, "", said
    return service.wait(), "", said


def run_kinbits(arguments):
    """Return the exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def check_extras(words):
    """Look whether a package has the extras that a command installs; nothing is installed."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [extra for word in words for extra in re.findall(r"[\w-]+", word.partition("[")[2])]
    unknown = set(asked) - set(known)
    return int(bool(unknown)), "", f"no extra {', '.join(sorted(unknown))}"


def test_the_numbers_in_the_documents_are_those_of_the_result_files():
    script = ROOT / "experiments" / "fill_numbers.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, "run experiments/fill_numbers.py"
