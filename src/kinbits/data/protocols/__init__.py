"""Protocols: named, versioned definitions of what is compared with what, and the loader that holds data to them."""

# importing a family registers its protocols
from kinbits.data.protocols import (  # noqa: F401
    cifar,
    fine_grained,
    image_text,
    landmarks,
    list_sets,
    small_sets,
)
