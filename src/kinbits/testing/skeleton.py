"""Files to start a method from: the method, its test and its page."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from kinbits.errors import UsageError, platform_error
from kinbits.methods import list_methods

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEMPLATES = Path(__file__).parent / "templates"
_PLACES = {"method": "src/kinbits/methods", "test": "tests/methods", "page": "docs/methods"}  # of a checkout


@dataclass(frozen=True)
class NewMethod:
    """The files that `new_method` wrote.

    Attributes:
        name: Name of the method.
        method: The file of the method.
        test: Its test, for pytest.
        page: Its page, with a place for each section that a page of kinbits has.
        checkout: Whether they lie in a checkout of kinbits, where the name alone finds the method.
    """

    name: str
    method: Path
    test: Path
    page: Path
    checkout: bool

    @property
    def argument(self) -> str:
        """What stands for the method where one is asked for, such as ``method=`` of `kinbits.fit`."""
        return self.name if self.checkout else str(self.method)

    @property
    def known(self) -> bool:
        """Whether the name finds the method: the checkout is the one that this process runs."""
        return self.checkout and Path(__file__).parents[1].samefile(self.method.parent.parent)


def new_method(name: str, folder: str | Path = ".") -> NewMethod:
    """Write a method that trains as it is, with its test and its page; all files or none.

    Inside a checkout of kinbits they go where its methods, tests and pages are. Elsewhere they lie side by side.

    Args:
        name: Lower-case words joined by ``-``, such as ``"my-loss"``.
        folder: Where to; it exists.

    Raises:
        UsageError: If the name has another form or belongs to a method, or one of the files exists.
        PlatformError: If a file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is not a name for a method; use lower case, digits and '-', e.g. my-loss")
    made = _planned(name, Path(folder))
    files = {kind: path for kind, path in vars(made).items() if kind in _PLACES}
    for path in files.values():
        if path.exists():
            raise UsageError(f"{path} exists and is not overwritten; choose another name, or move it away")
    if name in list_methods():
        raise UsageError(f"there is a method '{name}' already; choose another name")
    with ExitStack() as undo:
        for kind, path in files.items():
            _write(path, _filled(kind, made))
            undo.callback(path.unlink)
        undo.pop_all()
    return made


def _planned(name: str, folder: Path) -> NewMethod:
    file = name.replace("-", "_")
    names = {"method": f"{file}.py", "test": f"test_{file}.py", "page": f"{name}.md"}
    here = folder.absolute()
    root = next(
        (one for one in (here, *here.parents) if all((one / place).is_dir() for place in _PLACES.values())), None
    )
    places = {kind: folder if root is None else Path(relpath(root / place)) for kind, place in _PLACES.items()}
    paths = {kind: places[kind] / names[kind] for kind in names}
    return NewMethod(name, **paths, checkout=root is not None)


def _filled(kind: str, made: NewMethod) -> str:
    values = {
        "NAME": made.name,
        "TITLE": "".join(word.capitalize() for word in made.name.split("-")),
        "ARGUMENT": made.argument,
        "TEST": made.test.name if not made.checkout else f"tests/methods/{made.test.name}",
        "PATH": "" if made.checkout else "from pathlib import Path\n",
        "FOUND": f'"{made.name}"' if made.checkout else f'str(Path(__file__).with_name("{made.method.name}"))',
    }
    text = (_TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8")
    filled = re.sub("|".join(f"__{key}__" for key in values), lambda found: values[found[0].strip("_")], text)
    return _own_imports_last(filled) if made.checkout and kind != "page" else filled


def _own_imports_last(text: str) -> str:
    """Move imports of kinbits below those of other packages, where linters of a checkout want them."""
    lines = text.splitlines(keepends=True)
    own = [line for line in lines if line.startswith("from kinbits")]
    first = lines.index(own[0])
    rest = [line for line in lines[first:] if line not in own]
    end = rest.index("\n")  # of the imports of others
    return "".join([*lines[:first], *rest[:end], "\n", *own, *rest[end:]])


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise platform_error(f"cannot write {path}", error) from None
