"""Uses of services by users and roles, and reports, in SQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select

from strongroom.store.records import AccessKeyRecord, CredentialReport, LastAccessedJob, PrincipalUse
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.rows import read_access_key
from strongroom.store.sql.schema import access_key, credential_report, identity, last_accessed_job, principal_use
from strongroom.store.sql.statements import may_replace, of, postgresql_insert, upsert, where

_AT_ONCE = 500
"""Well below the number of parameters that a statement may have, on any database."""

_USES = select(principal_use).where(principal_use.c.unique_id.in_(bindparam("unique_ids", expanding=True)))
_ACCESS_KEYS_IN = (
    select(access_key)
    .where(where(access_key, "account"))
    .order_by(access_key.c.principal, access_key.c.created_at, access_key.c.access_key_id)
)
_CREDENTIAL_REPORT = select(credential_report).where(where(credential_report, "account"))
_JOB = select(last_accessed_job).where(where(last_accessed_job, "account", "job_id"))
_USE = {name: bindparam(f"use_{name}", type_=principal_use.c[name].type) for name in ("service", "used_at", "region")}
_INSERT_USE = postgresql_insert(principal_use).from_select(
    ["unique_id", *_USE], select(identity.c.unique_id, *_USE.values()).where(where(identity, "unique_id"))
)
_NOTE_USE = _INSERT_USE.on_conflict_do_update(
    index_elements=["unique_id", "service"],
    set_={name: _INSERT_USE.excluded[name] for name in ("used_at", "region")},
    where=may_replace(principal_use.c.used_at, _INSERT_USE.excluded.used_at),
)
_PUT_CREDENTIAL_REPORT = upsert(credential_report, "account")
_PUT_JOB = upsert(last_accessed_job, "account", "subject", "granularity", kept=("job_id",)).returning(
    last_accessed_job.c.job_id
)


class ReportReads:
    """Reads of uses and reports. See ``subjects.reports``."""

    _connection: Connection
    _guard: RowGuard

    def principal_uses(self, unique_ids: Sequence[str]) -> list[PrincipalUse]:
        """List the last use of each service by each of these users and roles, in no order."""
        found: list[PrincipalUse] = []
        for start in range(0, len(unique_ids), _AT_ONCE):
            rows = self._connection.execute(_USES, {"unique_ids": list(unique_ids[start : start + _AT_ONCE])})
            found += [PrincipalUse(**row._asdict()) for row in rows]
        return found

    def access_keys_in(self, account: str) -> list[AccessKeyRecord]:
        """List all access keys of an account: those of one principal after each other, its oldest first."""
        found = self._connection.execute(_ACCESS_KEYS_IN, of(account=account))
        return self._guard.intact(access_key, found, read_access_key)

    def credential_report(self, account: str) -> CredentialReport | None:
        """Return an account's latest credential report."""
        row = self._connection.execute(_CREDENTIAL_REPORT, of(account=account)).one_or_none()
        return None if row is None else CredentialReport(**row._asdict())

    def last_accessed_job(self, account: str, job_id: str) -> LastAccessedJob | None:
        """Return a job of an account."""
        row = self._connection.execute(_JOB, of(account=account, job_id=job_id)).one_or_none()
        return None if row is None else LastAccessedJob(**row._asdict())


class ReportWrites(ReportReads):
    """Writes of uses and reports. They have no entry in the change log: no cache holds any of this."""

    def note_principal_uses(self, uses: Sequence[PrincipalUse], now: float) -> None:
        """Save when users and roles last used a service, unless a later use is saved or they do not exist.

        One that is a day later than ``now`` is replaced.
        """
        rows = [
            of(unique_id=use.unique_id)
            | {"use_service": use.service, "use_used_at": use.used_at, "use_region": use.region, "now": now}
            for use in uses
        ]
        if rows:
            self._connection.execute(_NOTE_USE, rows)

    def put_credential_report(self, report: CredentialReport) -> None:
        """Save an account's credential report in the place of the one before."""
        self._connection.execute(_PUT_CREDENTIAL_REPORT, msgspec.structs.asdict(report))

    def put_last_accessed_job(self, job: LastAccessedJob) -> LastAccessedJob:
        """Save a job; return it with the id of the job that was there for the same subject and granularity, if any."""
        job_id: str = self._connection.execute(_PUT_JOB, msgspec.structs.asdict(job)).scalar_one()
        return msgspec.structs.replace(job, job_id=job_id)
