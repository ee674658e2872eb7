from .rows import FORMAT, KEY, code_rows, rows_of_ids

__all__ = [
    "FORMAT",
    "KEY",
    "code_rows",
    "rows_of_ids",
]
