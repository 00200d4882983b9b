"""The lines that the machine's end has damaged, as a start has found them. Pure.

A write that the machine's end has cut off can leave lines that do not continue their chain, and that no key has signed.
So the header that goes on after them states what they are: a hash over the hash of the last good line and over all that
follows, from the first damaged line on. Verification accepts exactly these bytes in exactly this place, and only if no
signed checkpoint covers them. All else that does not continue the chain is a finding, whatever a header says.
"""

from collections.abc import Collection
from hashlib import sha256

from strongroom.audit.report import MOST_FINDINGS, Finding


class SuspectLines:
    """The lines of one chain from the first one on that does not continue it, and the findings about them."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._findings: dict[Finding, None] = {}
        self._fresh = 0
        self.is_empty = True

    @property
    def findings(self) -> Collection[Finding]:
        """What was found of these lines, and was not taken back."""
        return self._findings

    def clear(self) -> None:
        """Forget them: a signed checkpoint covers what comes before, so it must be as it was written."""
        self._findings, self.is_empty = {}, True

    def suspect(self, finding: Finding, before: bytes) -> None:
        """Keep a finding about the next line; ``before`` is the hash of the line before, in hexadecimal."""
        if self.is_empty:
            self._digest, self._fresh, self.is_empty = sha256(before), 0, False
        self.join(finding)

    def join(self, finding: Finding) -> None:
        """Keep a finding that these lines are the reason for: there are some, such as a damaged checkpoint."""
        if not self.is_empty and len(self._findings) < MOST_FINDINGS:
            self._findings[finding] = None

    def add(self, line: bytes) -> None:
        """Add a line without its newline, if any line was found before that does not continue the chain."""
        if not self.is_empty:
            self._digest.update(line)
            self._digest.update(b"\n")
            self._fresh += 1

    def are_explained_by(self, stated: str) -> bool:
        """Tell whether the hash in a header explains the findings: all of them, or none."""
        return bool(self._findings) and stated == self._digest.hexdigest()

    def take_back(self) -> int:
        """Forget the findings, which are explained; return how many lines came since others were.

        The lines are kept: a header after a later start explains them again, with those that have come since.
        """
        fresh, self._fresh, self._findings = self._fresh, 0, {}
        return fresh
