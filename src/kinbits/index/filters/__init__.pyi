from .binding import bind
from .column_types import Kind
from .expression import Expression, comparisons
from .where import Where, parse_where

__all__ = [
    "Expression",
    "Kind",
    "Where",
    "bind",
    "comparisons",
    "parse_where",
]
