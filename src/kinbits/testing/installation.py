"""What an installation offers, and what is missing: the machine, the packages of each layer, the data."""

from __future__ import annotations

import os
import platform
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

_CPU_FLAGS = ("avx2", "avx512bw", "avx512_vpopcntdq", "asimd", "sve")
_LIBRARIES = ("numpy", "pyarrow", "torch", "openvino", "transformers", "faiss-cpu")
_COLLECTIONS = ("all", "dev")  # extras that only bring other extras and tools


@dataclass(frozen=True)
class Finding:
    """One fact about an installation.

    Attributes:
        what: What was checked.
        state: ``"ok"``; ``"optional"`` where something is missing that not everybody needs; else ``"fault"``.
        found: What was found, or how to repair it.
    """

    what: str
    state: Literal["ok", "optional", "fault"]
    found: str


def check_installation() -> list[Finding]:
    """Check the packages, the machine, the cache folder, the data of protocols and the engines of an index.

    A check that fails in an unexpected way is itself a fault; nothing is raised.

    Example:
        >>> [finding.what for finding in check_installation() if finding.state == "fault"]
        []
    """
    checks = (_versions, _packages, _layers, _processor, _kernel, _threads, _gpu, _caches, _data, _engines)
    return [finding for check in checks for finding in _guarded(check)]


def _guarded(check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except Exception as error:
        return [Finding(check.__name__.strip("_"), "fault", f"{type(error).__name__}: {error}")]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _versions() -> list[Finding]:
    own = f"kinbits {_version('kinbits')}, Python {platform.python_version()}, {platform.platform()}"
    libraries = ", ".join(f"{name} {_version(name) or 'missing'}" for name in _LIBRARIES)
    return [Finding("versions", "ok", own), Finding("libraries", "ok", libraries)]


def _requirements() -> Mapping[str, Sequence[str]]:
    """Return the packages that kinbits requires, by extra; the base is the extra ""."""
    found = defaultdict(list)
    for line in requires("kinbits") or []:
        name = re.split(r"[^\w.-]", line)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if name != "kinbits":
            found[extra[1] if extra else ""].append(name)
    return found


def _packages() -> list[Finding]:
    needed = _requirements()[""]
    missing = [name for name in needed if _version(name) is None]
    if missing:
        return [Finding("packages", "fault", f"missing: {', '.join(missing)}; run: pip install kinbits")]
    return [Finding("packages", "ok", f"all {len(needed)} required packages are installed")]


def _layers() -> list[Finding]:
    """Name for each extra what is missing of it."""
    findings = []
    for extra, needed in sorted(_requirements().items()):
        if extra in ("", *_COLLECTIONS):
            continue
        missing = [name for name in needed if _version(name) is None]
        text = f"missing: {', '.join(missing)}; run: pip install 'kinbits[{extra}]'" if missing else "installed"
        findings.append(Finding(f"extra {extra}", "optional" if missing else "ok", text))
    return findings


def _processor() -> list[Finding]:
    lines = _read("/proc/cpuinfo").splitlines()
    facts = dict(part.split(":", 1) for part in reversed(lines) if ":" in part)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    useful = [flag for flag in _CPU_FLAGS if flag in flags]
    name = facts.get("model name") or platform.processor() or platform.machine()
    return [Finding("processor", "ok", f"{name}; {', '.join(useful) or 'no vector instructions that kinbits uses'}")]


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
    uses = f"{hamming.simd()} (available: {', '.join(_native.simd_paths())}); {hamming.threads()} threads"
    return [Finding("native kernel", "ok", f"{Path(str(_native.__file__)).name} uses {uses}")]


def _threads() -> list[Finding]:
    from kinbits._util import processors

    usable = processors()
    found = f"{usable} of {os.cpu_count()} processors usable, OMP_NUM_THREADS "
    return [Finding("threads", "ok", found + os.environ.get("OMP_NUM_THREADS", "not set"))]


def _gpu() -> list[Finding]:
    if find_spec("torch") is None:
        return [Finding("GPU", "optional", "not looked for without torch")]
    import torch

    if not torch.cuda.is_available():
        return [Finding("GPU", "optional", "none that torch can use; everything runs on the CPU")]
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [Finding("GPU", "ok", ", ".join(names))]


def _caches() -> list[Finding]:
    import tempfile

    from kinbits.data import cache_use

    findings = []
    for use in cache_use():
        name = f"cache of {use.name}"
        try:
            use.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=use.folder):
                pass
        except OSError as error:
            text = f"{use.folder}: {error.strerror or error}; set KINBITS_CACHE to a folder that can be written"
            findings.append(Finding(name, "fault", text))
        else:
            size = f"{use.size / 1e6:,.1f} MB in {use.entries} entries"
            findings.append(Finding(name, "ok", f"{use.folder}: {size}; `kinbits cache --clear` removes them"))
    return findings


def _data() -> list[Finding]:
    """Open the data of every protocol whose files are here."""
    from kinbits.data import find_protocol, list_protocols, load_protocol
    from kinbits.errors import KinbitsError

    findings, absent = [], []
    for name in list_protocols():
        files = find_protocol(name).required_files
        if files is None:
            continue
        if files.missing():
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


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
