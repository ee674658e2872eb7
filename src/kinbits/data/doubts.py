"""Folder names that were hardly meant as classes: dates, cameras, copies."""

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
    """Say why labels that are folder names may be no classes; None where nothing speaks against them.

    Numbers speak against them, unless they count the classes from 0.
    """
    if not dataset.from_folders or dataset.label_space is None or dataset.labels is None:
        return None
    names = dataset.label_space.names
    found = {what: [name for name in names if kind.fullmatch(name)] for what, kind in _DOUBTFUL.items()}
    dates = set(found["dates"])
    counted = set(names) == set(map(str, range(len(names))))
    found["numbers"] = [] if counted else [name for name in names if _NUMBER.fullmatch(name) and name not in dates]
    counts = np.bincount(dataset.labels[dataset.labels >= 0], minlength=len(names))
    found["classes of one image"] = [names[place] for place in np.flatnonzero(counts == 1)]
    reasons = [f"{what} ({_some(like)})" for what, like in found.items() if like]
    if not reasons:
        return None
    return (
        f"the {len(names)} classes are names of folders, among them {', '.join(reasons)}: if the folders do not sort "
        f"images by what they show, learn with no labels instead, e.g. by method itq"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
