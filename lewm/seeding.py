"""Seeds that are functions of what the randomness is for."""

import hashlib


def derive_seed(*numbers: int) -> int:
    """A 63-bit seed that differs wherever one of the numbers does; the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest(), "big") >> 1
