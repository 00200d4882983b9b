"""The credential report: a table of an account's users and their credentials, as CSV.

Source: IAM User Guide, "Generate credential reports for your AWS account". Users have no passwords, MFA devices and
certificates here, so those columns say so.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from strongroom.errors import CredentialReportExpiredException, CredentialReportNotPresentException
from strongroom.iam import account_root
from strongroom.iam.entities import User
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import required_account
from strongroom.operations.shapes import Request, Response
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.records import AccessKeyRecord, CredentialReport
from strongroom.store.scopes import AccountScope

_LIFE_SECONDS = 4 * 3600.0
_USERS_AT_ONCE = 1000

_ACCESS_KEY = ("active", "last_rotated", "last_used_date", "last_used_region", "last_used_service")
_HEADER = (
    *("user", "arn", "user_creation_time"),
    *("password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active"),
    *(f"access_key_{number}_{column}" for number in (1, 2) for column in _ACCESS_KEY),
    *(f"cert_{number}_{column}" for number in (1, 2) for column in ("active", "last_rotated")),
)
_NOTHING, _NO = "N/A", "false"
_NO_PASSWORD = (_NO, _NOTHING, _NOTHING, _NOTHING)
# A root has no password to enable or rotate; AWS knows of none that was used either.
_PASSWORD_OF_ROOT = ("not_supported", "no_information", "not_supported", "not_supported")
_NO_ACCESS_KEY = (_NO, _NOTHING, _NOTHING, _NOTHING, _NOTHING)
_NO_CERTIFICATES = (_NO, _NOTHING) * 2


class GenerateCredentialReportRequest(Request):
    """The request of GenerateCredentialReport, which has no parameters."""


class GenerateCredentialReportResponse(Response):
    """The response of GenerateCredentialReport: the report is complete."""

    state: str = "COMPLETE"


class GetCredentialReportRequest(Request):
    """The request of GetCredentialReport, which has no parameters."""


class GetCredentialReportResponse(Response, kw_only=True):
    """The response of GetCredentialReport."""

    content: bytes
    report_format: str = "text/csv"
    generated_time: float


def generate_credential_report(
    context: Context, _request: GenerateCredentialReportRequest
) -> GenerateCredentialReportResponse:
    """Make a report, unless the latest is less than four hours old. It is stored, so any worker can return it."""
    account = context.caller.account
    with context.read() as reader:
        if _is_valid(reader.credential_report(account), context.now):
            return GenerateCredentialReportResponse()
        # Outside the transaction: other writers must not wait for a report on thousands of users.
        content = _written(_rows(reader, account, context.caller.partition))
    report = CredentialReport(account, context.now, content)

    def put(transaction: Transaction) -> None:
        # Two calls at once: the report that was first is the one that clients may have been told of.
        if not _is_valid(transaction.credential_report(account), context.now):
            transaction.put_credential_report(report)

    context.backends.store.write(put, AccountScope(account))
    return GenerateCredentialReportResponse()


def get_credential_report(context: Context, _request: GetCredentialReportRequest) -> GetCredentialReportResponse:
    """Return the latest report.

    Raises CredentialReportNotPresentException, and CredentialReportExpiredException after four hours.
    """
    with context.read() as reader:
        report = reader.credential_report(context.caller.account)
    if report is None:
        raise CredentialReportNotPresentException(
            "The credential report does not exist. To generate one, use GenerateCredentialReport."
        )
    if not _is_valid(report, context.now):
        raise CredentialReportExpiredException(
            "The most recent credential report has expired. To generate a new one, use GenerateCredentialReport."
        )
    return GetCredentialReportResponse(content=report.content, generated_time=report.generated_at)


def _is_valid(report: CredentialReport | None, now: float) -> bool:
    # A report from the future is that of a node whose clock is ahead, or was set back.
    return report is not None and abs(now - report.generated_at) < _LIFE_SECONDS


def _rows(reader: Reader, account: str, partition: str) -> Iterator[Sequence[str]]:
    """Yield the header, the account's root, and its users by name."""
    keys: dict[str, list[AccessKeyRecord]] = defaultdict(list)
    for key in reader.access_keys_in(account):
        keys[key.principal].append(key)
    yield _HEADER
    root = account_root(account, partition=partition).arn
    created_at = required_account(reader, account).created_at
    yield ("<root_account>", root, _time(created_at), *_PASSWORD_OF_ROOT, *_rest(keys[root]))
    after = ""
    while users := reader.entities(User, account, "/", after, _USERS_AT_ONCE):
        for user in users:
            yield (user.name, user.arn, _time(user.created_at), *_NO_PASSWORD, *_rest(keys[user.unique_id]))
        after = users[-1].name.lower()


def _rest(keys: Sequence[AccessKeyRecord]) -> Iterator[str]:
    """Yield the columns from ``mfa_active`` on; ``keys`` has the oldest access key first."""
    yield _NO
    found = [_columns_of(key) for key in keys]
    for columns in islice([*found, _NO_ACCESS_KEY, _NO_ACCESS_KEY], 2):
        yield from columns
    yield from _NO_CERTIFICATES


def _columns_of(key: AccessKeyRecord) -> Sequence[str]:
    return (
        "true" if key.active else _NO,
        _time(key.created_at),
        _NOTHING if key.last_used_at is None else _time(key.last_used_at),
        key.last_used_region or _NOTHING,
        key.last_used_service or _NOTHING,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _written(rows: Iterator[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # Programs that split it at its newlines find no empty row at the end.
    return text.getvalue().removesuffix("\n").encode()
