"""Detection of folder names that are probably not classes: dates, cameras, copies."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kinbits.data.dataset import Dataset

_MONTH = (
    "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?"
    "|oct(ober)?|nov(ember)?|dec(ember)?"
)
_YEAR = "(19|20)[0-9]{2}"
_DATES = (
    _YEAR,
    rf"{_YEAR}[-_. ]?[0-9]{{2}}([-_. ]?[0-9]{{2}})?\b.*",
    r"[0-9]{1,2}[-_.][0-9]{1,2}[-_.][0-9]{2,4}",
    rf"({_MONTH})([-_. ]*{_YEAR})?",
    rf"{_YEAR}[-_. ]*({_MONTH})",
)
_CAMERAS = (
    r"[0-9]{3}[a-z_]{5}",  # 100CANON, 101APPLE
    r"[0-9]{3}_[0-9]{4}",
    r"dcim|camera([ _]roll)?|screenshots?|whatsapp.*|downloads?|imports?|unsorted|misc(ellaneous)?",
    r"(img|dsc|dscn|dscf|pxl|vid|mvimg|pict)[-_ ]?[0-9]*",
    r"(new folder|untitled|from phone).*",
)
_COPIES = (
    r"copy|copies|backups?|bak|old|duplicates?",
    r"(copy|kopie|copie) of .*",
    r".*[-_ ](copy|backup|bak|dup)( ?\(?[0-9]+\)?)?",
    r".* \([0-9]+\)",
)

_PARTS = (
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?|hold-?out|query|gallery)"
    r"[-_ ]?(images?|imgs?|set|data|[0-9]+)",
)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"({pattern})" for pattern in patterns), re.IGNORECASE)


_DOUBTFUL = {
    "dates": _any_of(_DATES),
    "names that cameras, phones and programs give": _any_of(_CAMERAS),
    "copies": _any_of(_COPIES),
    "parts of a collection": _any_of(_PARTS),
}
_NUMBER = re.compile(r"[0-9]+")
_SHOWN = 3


def doubtful_classes(dataset: Dataset) -> str | None:
    """Return a warning if the folder names of a collection are probably not classes, else None.

    Folder names that are numbers also give a warning, unless they are 0, 1, 2, ... without a gap.
    """
    if not dataset.from_folders or dataset.label_space is None or dataset.labels is None:
        return None
    names = dataset.label_space.names
    doubtful = {what: [name for name in names if kind.fullmatch(name)] for what, kind in _DOUBTFUL.items()}
    dates = set(doubtful["dates"])
    consecutive = set(names) == set(map(str, range(len(names))))
    numbers = [name for name in names if _NUMBER.fullmatch(name) and name not in dates]
    doubtful["numbers"] = [] if consecutive else numbers
    counts = np.bincount(dataset.labels[dataset.labels >= 0], minlength=len(names))
    doubtful["classes of one image"] = [names[label] for label in np.flatnonzero(counts == 1)]
    reasons = [f"{what} ({_first_names(examples)})" for what, examples in doubtful.items() if examples]
    if not reasons:
        return None
    return (
        f"the {len(names)} classes are folder names, among them {', '.join(reasons)}: if the folders do not group "
        f"images by their content, learn with no labels instead, e.g. by method itq"
    )


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
