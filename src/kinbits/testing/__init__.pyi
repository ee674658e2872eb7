from .index import check_index
from .method import check_method

__all__ = [
    "check_index",
    "check_method",
]
