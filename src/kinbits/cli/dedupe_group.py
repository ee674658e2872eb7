"""The verb `kinbits dedupe`, whose commands are in several files."""

from kinbits.cli.app import group
from kinbits.cli.plain_help import GroupOfOne

dedupe = group("dedupe", "Find duplicates, review them, and move them aside.", GroupOfOne)
