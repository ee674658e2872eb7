"""Binary codes as arrays: pack, measure, search. Needs only NumPy.

A code is a row of ``ceil(bits / 8)`` bytes: bit 1 where the logit is >= 0, most significant bit first
(``numpy.packbits``), pad bits 0. The results of the native kernel equal those of ``kinbits.hamming.reference``.
"""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
