"""One file from one folder to another: by a rename, or by a verified copy where the folders are on two disks."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress

from kinbits._util import rename_new
from kinbits.dedupe.tree import Place, Refusal, read_place, same_state
from kinbits.dedupe.undo_file import Step

_BLOCK = 2**20


def part_name(step: Step) -> str:
    """Return the name of an unfinished copy of a file: short, and the same in a later run."""
    return f".kinbits-{hashlib.sha256(os.fsencode(step.path)).hexdigest()[:16]}.part"


def transfer(source: Place, target: Place, step: Step, state: os.stat_result) -> None:
    """Move a file, and never replace one.

    Args:
        source: Where it is.
        target: Where it goes.
        step: Its size, SHA-256, time and permissions.
        state: Its state when it was verified.

    Raises:
        Refusal: If it changed since, or the target is taken.
        OSError: If the system refuses; the file is then where it was.
    """
    if not same_state(source.stat(), state):
        raise Refusal("it changed while it was checked")
    try:
        rename_new(source.name, target.name, source.folder, target.folder)
    except FileExistsError:
        raise Refusal("the place is taken by another file") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target, step)
        try:
            give_up_source(source, state)
        except Refusal:
            target.unlink()  # it is our copy
            raise


def copy(source: Place, target: Place, step: Step) -> None:
    """Copy a file under a free name: written aside, on disk, read back, and named in the last step.

    Raises:
        Refusal: If the copy differs from what was verified, or the name is taken.
        OSError: If the system refuses; nothing is left then.
    """
    part = write_part(source, target, step)
    try:
        rename_new(part.name, target.name, part.folder, target.folder)
    except OSError as error:
        clear_part(target, step)
        if isinstance(error, FileExistsError):
            raise Refusal("the place is taken by another file") from None
        raise
    target.sync_folder()


def write_part(source: Place, target: Place, step: Step) -> Place:
    """Write a copy of a file aside of the target, with time and permissions of a step, and verify it.

    Raises:
        Refusal: If the copy does not have the SHA-256 of the step.
        OSError: If the system refuses; nothing is left then.
    """
    part = target.beside(part_name(step))
    clear_part(target, step)
    try:
        _write(source, part, step)
        if read_place(part).sha256 != step.sha256:
            raise Refusal("the copy differs from the file")
    except (OSError, Refusal):
        clear_part(target, step)
        raise
    return part


def clear_part(target: Place, step: Step) -> None:
    """Remove an unfinished copy, which an earlier run left."""
    with suppress(FileNotFoundError):
        target.beside(part_name(step)).unlink()


def give_up_source(source: Place, state: os.stat_result) -> None:
    """Remove a file that has a verified copy on disk, unless it changed meanwhile.

    Raises:
        Refusal: If it changed.
    """
    if not same_state(source.stat(), state):
        raise Refusal("it changed while it was copied")
    source.unlink()


def _write(source: Place, part: Place, step: Step) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    into = os.open(part.name, flags, 0o600, dir_fd=part.folder)
    try:
        given = os.open(source.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source.folder)
        try:
            while block := os.read(given, _BLOCK):
                view = memoryview(block)
                while view:
                    view = view[os.write(into, view) :]
            _copy_attributes(given, into)
        finally:
            os.close(given)
        os.fchmod(into, step.mode)
        os.utime(into, ns=(step.modified_ns, step.modified_ns))
        os.fsync(into)
    finally:
        os.close(into)


def _copy_attributes(given: int, into: int) -> None:
    """Copy extended attributes, such as tags, as far as both file systems have them."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in os.listxattr(given):
            with suppress(OSError):
                os.setxattr(into, name, os.getxattr(given, name))
