"""Hash heads: the small networks that turn backbone features into one logit per bit."""

from kinbits.heads._base import Head, MapHead, build_head, heads, register_head
from kinbits.heads._common import Linear, LinearBatchNorm, Mlp

__all__ = ["Head", "Linear", "LinearBatchNorm", "MapHead", "Mlp", "build_head", "heads", "register_head"]
