"""How far a chain had come when its process ended. Pure.

Nothing shows that lines after the last checkpoint are missing, unless the writer also notes elsewhere how many it has
written (``store.audit.end_file``). What was written stays in the kernel when a process is killed, so then nothing may
be missing. When the machine itself fails, lines that were not synced can be lost.
"""

import msgspec


class RecordedEnd(msgspec.Struct, frozen=True):
    """The sequence number of a chain's last line, as its process noted it.

    ``boot`` names the start of the machine under which it ran, empty if that was not known. ``synced`` tells whether
    each line was on disk before it was noted.
    """

    sequence: int
    boot: str
    synced: bool

    def lost_by(self, sequence: int) -> int:
        """Return how many lines are missing at the end of a chain that ends with this number."""
        return max(0, self.sequence - sequence)

    def may_lack_more(self, boot: str) -> bool:
        """Tell whether lines may be missing that were never noted: the machine has started again since, unsynced."""
        return not self.synced and (not boot or self.boot != boot)


class Failure(msgspec.Struct, frozen=True):
    """What the end of a process has cost: the lines known to be ``missing``, and whether more may be.

    ``of_machine``: the machine ended, with lines that were not on disk. Then missing lines are no sign of a change.
    """

    missing: int = 0
    of_machine: bool = False
    damaged: int = 0
    """How many lines come last, of which the machine's end has damaged the first, in the middle of a write."""
    damaged_hash: str = ""
    """What these lines are (see ``damage``)."""


def failure_before(recorded: RecordedEnd | None, sequence: int, boot: str) -> Failure:
    """Compare the end of a chain, whose writer has not stopped, with what its process noted."""
    if recorded is None:
        return Failure()
    return Failure(recorded.lost_by(sequence), recorded.may_lack_more(boot))
