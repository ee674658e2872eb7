"""Protocols: named, versioned definitions of benchmarks, and the loader that checks data against them."""

# importing a module registers its protocols
from kinbits.data.protocols import (  # noqa: F401
    cifar,
    fine_grained,
    image_text,
    landmarks,
    list_sets,
    small_sets,
)
