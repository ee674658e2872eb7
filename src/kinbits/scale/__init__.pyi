from .encode import EncodedShards, encode
from .planning import is_sharded

__all__ = ["EncodedShards", "encode", "is_sharded"]
