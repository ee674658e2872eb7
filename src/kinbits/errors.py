"""The errors that kinbits raises on purpose: what was given, what is allowed, and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

_REMEDIES = {
    errno.ENOSPC: "make free space on that disk",
    errno.EDQUOT: "make free space, or raise the quota",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "choose a place that can be written",
    errno.EIO: "the disk reports an error; check it before you go on",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine; close some",
    errno.ELOOP: "a symbolic link lies where a file of our own should be; remove it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOMEM: "memory is full; close other programs",
}


class KinbitsError(Exception):
    """Base of all errors that a user can put right; the command line prints it as one line.

    ``exit_code`` is what the command line returns: 2 wrong usage, 3 wrong data, 4 wrong or damaged
    artefact, 5 the machine (permissions, disk, missing optional package), 11 the work is being done by another process.
    """

    exit_code = 1


class UsageError(KinbitsError, ValueError):
    """An argument is unknown, out of range, or does not fit the others."""

    exit_code = 2


class DataError(KinbitsError, ValueError):
    """The data do not fit the task: no images, no labels, too few rows, wrong shapes."""

    exit_code = 3


class ArtefactError(KinbitsError, ValueError):
    """A model, index or cache folder is missing, damaged, too new, or belongs to another model."""

    exit_code = 4


class PlatformError(KinbitsError, OSError):
    """The machine stands in the way: read-only folder, full disk, missing optional package."""

    exit_code = 5


class BusyError(PlatformError):
    """Another process does the same work on the same index now."""

    exit_code = 11


def platform_error(what: str, error: Exception) -> PlatformError:
    """Build the error for something that the operating system refused, with the remedy for its reason.

    Args:
        what: What was refused, e.g. ``"photos.index cannot be written"``.
        error: What the system said: an `OSError`, or the error of a library that wraps one; a `PlatformError` says it
            already, and is returned as it is.
    """
    if isinstance(error, PlatformError):
        return error
    code = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    remedy = _REMEDIES.get(code or 0, "check permissions and free space")
    made = PlatformError(f"{what}: {' '.join(str(reason).split())}; {remedy}")
    made.errno = code
    return made


def unknown_name(kind: str, given: str, known: Iterable[str], *, place: str = "") -> UsageError:
    """Build the error for a name that no registry holds, with the nearest known names.

    Args:
        kind: What was looked up, in the singular, e.g. ``"method"``.
        given: The name that was asked for.
        known: All names that exist.
        place: Where the name stands, such as ``"in t.yaml"``, if that is to be said.
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UsageError(f"unknown {kind} '{given}'{place and f' {place}'}; {hint}")
