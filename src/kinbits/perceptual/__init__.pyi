from .hashes import HASHES, LEAST_QUALITY, QUALITY, PerceptualHash, hash_of_fingerprint, pdq, phash

__all__ = ["HASHES", "LEAST_QUALITY", "QUALITY", "PerceptualHash", "hash_of_fingerprint", "pdq", "phash"]
