from .index import check_index
from .installation import Finding, check_installation
from .method import check_method

__all__ = [
    "Finding",
    "check_index",
    "check_installation",
    "check_method",
]
