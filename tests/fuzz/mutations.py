"""Random changes of seeds, for the short runs in CI: without the guidance of coverage."""

from campaign import Random
from targets import MAX_LENGTH

_ODD = (b"\0", b"\xff", b'"', b"{", b"[", b"\\ud800", b"-1", b"1e999", b"\r\n", b"%00", b"*", b"${", b"\x1b")
_MOST_CHANGES = 4


def mutated(random: Random, seeds: list[bytes]) -> bytes:
    """Return one of the seeds with one to four changes."""
    value = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, _MOST_CHANGES)):
        at = random.randint(0, len(value))
        match random.randrange(5):
            case 0 if at < len(value):
                value[at] ^= 1 << random.randrange(8)
            case 1:
                del value[at : at + random.randint(1, 16)]
            case 2:
                value[at:at] = random.choice(_ODD)
            case 3:
                value[at:at] = value[at : at + random.randint(1, 64)]
            case _:
                other = random.choice(seeds)
                value[at:] = other[random.randint(0, len(other)) :]
    return bytes(value[:MAX_LENGTH])
