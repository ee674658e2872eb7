from .base import METRICS, Head, MapHead, MetricHead, build_head, list_heads, moments, register_head
from .common import Linear, LinearBatchNorm, Mlp, Signs
from .composite import CompositeHead
from .decoder import Decoder
from .maps import PartAttention, SpatialAttention, SpatialGate
from .merged import Merged
from .product import ProductHead
from .ranking import rank_outputs
from .scaled import ScaledHead, whole_bits
from .soft_product import LogitProductHead, SoftProductHead
from .vlad import Vlad, VladHead, descriptors

__all__ = [
    "METRICS",
    "CompositeHead",
    "Decoder",
    "Head",
    "Linear",
    "LinearBatchNorm",
    "LogitProductHead",
    "MapHead",
    "Merged",
    "MetricHead",
    "Mlp",
    "PartAttention",
    "ProductHead",
    "ScaledHead",
    "Signs",
    "SoftProductHead",
    "SpatialAttention",
    "SpatialGate",
    "Vlad",
    "VladHead",
    "build_head",
    "descriptors",
    "list_heads",
    "moments",
    "rank_outputs",
    "register_head",
    "whole_bits",
]
