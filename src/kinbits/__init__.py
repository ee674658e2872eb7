"""kinbits: short binary codes for images, and exact search among them by Hamming distance.

Nothing heavy is imported before it is used: ``import kinbits`` loads no torch. What the package offers stands in
``__init__.pyi``, as in every package below.
"""

from kinbits._util import open_door

__version__ = "0.1.0"

__getattr__, __dir__ = open_door(__name__, __file__)
