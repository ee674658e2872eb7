from .models import victim_of
from .visibility import Visibility, to_bytes, visibility

__all__ = ["Visibility", "to_bytes", "victim_of", "visibility"]
