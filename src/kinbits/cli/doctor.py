"""kinbits doctor: what this machine offers, and what is missing."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, bytes_text, console, print_json, table

State = Literal["ok", "optional", "fault"]
_FEATURES = ("avx2", "avx512bw", "avx512_vpopcntdq", "asimd", "sve")
_LOOKED_AT = ("torch", "numpy", "openvino", "transformers", "faiss-cpu")
_OPTIONAL = {"timm": "timm", "pycolmap": "sfm", "onnx": "onnx", "onnxruntime": "onnx", "onnxscript": "onnx"}  # extras


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was looked at.
        state: ``"fault"`` where something that is needed is missing.
        found: What was found, or how to put it right.
    """

    what: str
    state: State
    found: str


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check the installation, the machine and the data.

    The exit code is 5 if something that kinbits needs is missing.
    """
    checks = (_versions, _packages, _processor, _kernel, _threads, _gpu, _caches, _data, _engines, _optional)
    findings = [finding for check in checks for finding in _guarded(check)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "ok", "optional": "-", "fault": "FAULT"}
        rows = ([finding.what, marks[finding.state], finding.found] for finding in findings)
        console().print(table(["", "", "found"], rows))
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(5)


def _guarded(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; one that fails is a finding, since a broken machine is what we are here for."""
    try:
        return check()
    except Exception as error:
        return [Finding(check.__name__.strip("_"), "fault", f"{type(error).__name__}: {error}")]


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _versions() -> list[Finding]:
    own = f"kinbits {_version('kinbits')}, Python {platform.python_version()}, {platform.platform()}"
    libraries = ", ".join(f"{name} {_version(name) or 'missing'}" for name in _LOOKED_AT)
    return [Finding("versions", "ok", own), Finding("libraries", "ok", libraries)]


def _packages() -> list[Finding]:
    """Name required packages that are not installed."""
    from importlib.metadata import requires

    needed = [re.split(r"[^\w.-]", line)[0] for line in requires("kinbits") or [] if "extra ==" not in line]
    missing = [name for name in needed if _version(name) is None]
    if missing:
        return [Finding("packages", "fault", f"missing: {', '.join(missing)}; run `pip install kinbits`")]
    return [Finding("packages", "ok", f"all {len(needed)} required ones are installed")]


def _processor() -> list[Finding]:
    lines = _read("/proc/cpuinfo").splitlines()
    known = dict(part.split(":", 1) for part in reversed(lines) if ":" in part)
    known = {name.strip(): value.strip() for name, value in known.items()}
    flags = (known.get("flags") or known.get("Features") or "").split()
    has = [feature for feature in _FEATURES if feature in flags]
    name = known.get("model name") or platform.processor() or platform.machine()
    return [Finding("processor", "ok", f"{name}; {', '.join(has) or 'no vector features that matter here'}")]


def _kernel() -> list[Finding]:
    import numpy as np

    from kinbits import hamming

    try:
        from kinbits.hamming import _native
    except ImportError as error:
        return [
            Finding("native kernel", "fault", f"not loaded ({error}); build it: pip install --force-reinstall kinbits")
        ]
    two = np.array([[0], [255]], np.uint8)
    if hamming.distances(two, two).tolist() != [[0, 8], [8, 0]]:
        return [
            Finding("native kernel", "fault", f"{_native.__file__} computes wrong distances; install kinbits again")
        ]
    uses = f"{hamming.simd()} of {', '.join(_native.simd_paths())}; {hamming.threads()} threads"
    return [Finding("native kernel", "ok", f"{Path(str(_native.__file__)).name} uses {uses}")]


def _threads() -> list[Finding]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "not set")
    found = f"{usable} of {os.cpu_count()} processors usable, torch takes {torch.get_num_threads()}"
    return [Finding("threads", "ok", f"{found}, OMP_NUM_THREADS {limit}")]


def _gpu() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [Finding("GPU", "optional", "none that torch can use; everything runs on the CPU")]
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [Finding("GPU", "ok", ", ".join(names))]


def _caches() -> list[Finding]:
    import tempfile

    from kinbits.data import FeatureCache

    root = FeatureCache().root
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        why = error.strerror or error
        return [Finding("feature cache", "fault", f"{root}: {why}; set KINBITS_CACHE to a folder that can be written")]
    files = [path for path in root.rglob("*") if path.is_file()]
    size = sum(path.stat().st_blocks * 512 for path in files)
    entries = len({path.parent for path in files})
    return [
        Finding("feature cache", "ok", f"{root}: {bytes_text(size)} in {entries} entries; may be deleted at any time")
    ]


def _data() -> list[Finding]:
    """Open the data of every protocol whose files are here."""
    from kinbits.data import find_protocol, list_protocols, load_protocol
    from kinbits.errors import KinbitsError

    findings, absent = [], []
    for name in list_protocols():
        needs = find_protocol(name).needs
        if needs is None:
            continue
        if needs.missing():
            absent.append(name)
            continue
        try:
            splits = load_protocol(name)
        except KinbitsError as error:
            findings.append(Finding(name, "optional", str(error)))
        else:
            sizes = f"train {len(splits.train):,}, query {len(splits.query):,}, database {len(splits.database):,}"
            findings.append(Finding(name, "ok", sizes))
    if absent:
        text = f"{', '.join(absent)}; `kinbits protocols NAME` says what is missing"
        findings.append(Finding("protocols without data", "optional", text))
    return findings


def _engines() -> list[Finding]:
    """List the engines of an index, and what the missing ones need."""
    from kinbits.index import list_engines

    findings = []
    for engine in list_engines():
        missing = f"{', '.join(engine.missing)} not installed; {engine.remedy}"
        found = missing if engine.missing else engine.about
        findings.append(Finding(f"engine {engine.name}", "optional" if engine.missing else "ok", found))
    return findings


def _optional() -> list[Finding]:
    findings = []
    for name, extra in _OPTIONAL.items():
        found = _version(name)
        missing = f"not installed; pip install 'kinbits[{extra}]'"
        findings.append(Finding(name, "ok" if found else "optional", found or missing))
    return findings


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
