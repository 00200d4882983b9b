"""When users and roles used which service, and the reports about an account's users and policies."""

from collections.abc import Sequence
from typing import Protocol

from strongroom.store.records import AccessKeyRecord, CredentialReport, LastAccessedJob, PrincipalUse


class ReportReader(Protocol):
    """Reads of uses and reports."""

    def principal_uses(self, unique_ids: Sequence[str]) -> list[PrincipalUse]:
        """List the last use of each service by each of these users and roles, in no order."""
        ...

    def access_keys_in(self, account: str) -> list[AccessKeyRecord]:
        """List all access keys of an account: those of one principal after each other, its oldest first."""
        ...

    def credential_report(self, account: str) -> CredentialReport | None:
        """Return an account's latest credential report."""
        ...

    def last_accessed_job(self, account: str, job_id: str) -> LastAccessedJob | None:
        """Return a job of an account."""
        ...


class ReportWriter(Protocol):
    """Writes of uses and reports."""

    def note_principal_uses(self, uses: Sequence[PrincipalUse], now: float) -> None:
        """Save when users and roles last used a service, unless a later use is saved or they do not exist.

        One that is a day later than ``now`` was noted by a clock that was ahead, and is replaced.
        """
        ...

    def put_credential_report(self, report: CredentialReport) -> None:
        """Save an account's credential report in the place of the one before."""
        ...

    def put_last_accessed_job(self, job: LastAccessedJob) -> LastAccessedJob:
        """Save a job; return it with the id of the job that was there for the same subject and granularity, if any."""
        ...
