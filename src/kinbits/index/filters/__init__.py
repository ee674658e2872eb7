"""Filters on metadata: a tree of comparisons, how it is read, and how it is answered by SQLite."""
