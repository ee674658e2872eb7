"""Hash heads: the small networks that turn backbone features into one logit per bit."""

from kinbits.heads._base import Head, MapHead, build_head, heads, register_head
from kinbits.heads._common import Linear, LinearBatchNorm, Mlp
from kinbits.heads._decoder import Decoder
from kinbits.heads._maps import PartAttention, SpatialAttention
from kinbits.heads._merged import Merged
from kinbits.heads._vlad import VladHead

__all__ = [
    "Decoder",
    "Head",
    "Linear",
    "LinearBatchNorm",
    "MapHead",
    "Merged",
    "Mlp",
    "PartAttention",
    "SpatialAttention",
    "VladHead",
    "build_head",
    "heads",
    "register_head",
]
