from .attack import check_attack
from .defence import check_defence
from .index import check_index
from .installation import Finding, check_installation
from .method import check_method
from .skeleton import NewMethod, new_method
from .toy_models import ToyDecoder, ToyModel

__all__ = [
    "Finding",
    "NewMethod",
    "ToyDecoder",
    "ToyModel",
    "check_attack",
    "check_defence",
    "check_index",
    "check_installation",
    "check_method",
    "new_method",
]
