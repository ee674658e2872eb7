"""Parts that several attacks share, and that serve an attack of your own.

============  ============================================================================
file          contents
============  ============================================================================
`centres`     codes that stand for a label: by vote, or near its images and far from others
`networks`    generator and discriminator of images
`prototypes`  a network from labels to codes, and its losses
`steps`       projected sign steps, towards a code or away from it
`targets`     target labels that share no class with an image
`trained`     base class: attacks that learn networks first, and their folders
============  ============================================================================
"""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
