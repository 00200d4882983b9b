"""The contract of every store for uses of services, credential reports and jobs. The same tests run with each."""

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.iam.entities import Role, User
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyRecord, CredentialReport, LastAccessedJob, PrincipalUse

NOW = 1_790_000_000.0
ACCOUNT, OTHER = "111122223333", "444455556666"

alice = User(account=ACCOUNT, name="alice", unique_id="AIDAALICE", created_at=NOW)
worker = Role(account=ACCOUNT, name="worker", unique_id="AROAWORKER", created_at=NOW, trust_policy="{}")
use = PrincipalUse("AIDAALICE", "kms", NOW, "eu-west-1")
job = LastAccessedJob("a" * 36, ACCOUNT, "AIDAALICE", "SERVICE_LEVEL", NOW)


def put_both(store: Store) -> None:
    def put(transaction: Transaction) -> None:
        transaction.put_entity(alice)
        transaction.put_entity(worker)

    store.write(put)


def uses(store: Store, *unique_ids: str) -> list[PrincipalUse]:
    with store.read() as reader:
        return sorted(reader.principal_uses(unique_ids), key=lambda each: (each.unique_id, each.service))


def test_the_last_use_of_each_service_is_kept(store: Store) -> None:
    put_both(store)
    noted = [
        use,
        replace(use, service="sts", used_at=NOW + 1),
        replace(use, unique_id="AROAWORKER"),
        replace(use, unique_id="AROAABSENT"),
    ]
    store.write(lambda transaction: transaction.note_principal_uses(noted, NOW))
    later = replace(use, used_at=NOW + 5, region="us-east-1")
    store.write(lambda transaction: transaction.note_principal_uses([later], NOW))
    store.write(lambda transaction: transaction.note_principal_uses([use], NOW))
    store.write(lambda transaction: transaction.note_principal_uses([], NOW))
    assert uses(store, "AIDAALICE") == [later, noted[1]]
    assert uses(store, "AIDAALICE", "AROAWORKER", "AROAABSENT") == [later, noted[1], noted[2]]
    assert uses(store) == []
    # One that is a day later than the next was noted while the clock was ahead.
    wrong = replace(use, used_at=NOW + 31 * DAY)
    store.write(lambda transaction: transaction.note_principal_uses([wrong], NOW))
    store.write(lambda transaction: transaction.note_principal_uses([later], NOW))
    assert uses(store, "AIDAALICE") == [later, noted[1]]
    many = [f"AIDA{number}" for number in range(1200)]
    assert uses(store, *many, "AROAWORKER") == [noted[2]]


def test_uses_and_reports_are_not_in_the_change_log(store: Store) -> None:
    put_both(store)
    start = store.changes(0).last

    def change(transaction: Transaction) -> None:
        transaction.note_principal_uses([use], NOW)
        transaction.put_credential_report(CredentialReport(ACCOUNT, NOW, b"user"))
        transaction.put_last_accessed_job(job)

    store.write(change)
    assert store.changes(start).entries == []


def test_what_is_known_of_a_principal_goes_with_it(store: Store) -> None:
    put_both(store)
    jobs = [job, replace(job, job_id="b" * 36, subject="AROAWORKER")]

    def change(transaction: Transaction) -> None:
        transaction.note_principal_uses([use, replace(use, unique_id="AROAWORKER")], NOW)
        for each in jobs:
            transaction.put_last_accessed_job(each)

    store.write(change)
    store.write(lambda transaction: transaction.remove_entity(alice))
    assert uses(store, "AIDAALICE", "AROAWORKER") == [replace(use, unique_id="AROAWORKER")]
    with store.read() as reader:
        assert [reader.last_accessed_job(ACCOUNT, each.job_id) for each in jobs] == [None, jobs[1]]


def test_a_new_credential_report_replaces_the_last(store: Store) -> None:
    one, two = (CredentialReport(account, NOW, f"of {account}\u00e9".encode()) for account in (ACCOUNT, OTHER))
    newer = replace(one, generated_at=NOW + 9, content=b"newer")
    with store.read() as reader:
        assert reader.credential_report(ACCOUNT) is None
    for each in (one, two, newer):
        store.write(lambda transaction, report=each: transaction.put_credential_report(report))  # type: ignore[misc]
    with store.read() as reader:
        assert [reader.credential_report(account) for account in (ACCOUNT, OTHER)] == [newer, two]


def test_a_job_is_one_for_its_subject_and_granularity(store: Store) -> None:
    def put(each: LastAccessedJob) -> LastAccessedJob:
        return store.write(lambda transaction: transaction.put_last_accessed_job(each))

    assert put(job) == job
    again = replace(job, job_id="b" * 36, created_at=NOW + 9)
    assert put(again) == replace(again, job_id=job.job_id)
    others = [
        replace(again, granularity="ACTION_LEVEL"),
        replace(again, job_id="c" * 36, account=OTHER),
        replace(again, job_id="d" * 36, subject="arn:aws:iam::aws:policy/AdministratorAccess"),
    ]
    assert [put(each) for each in others] == others
    with store.read() as reader:
        assert reader.last_accessed_job(ACCOUNT, job.job_id) == replace(job, created_at=NOW + 9)
        assert reader.last_accessed_job(OTHER, job.job_id) is None
        assert reader.last_accessed_job(ACCOUNT, "e" * 36) is None


def test_all_access_keys_of_an_account(store: Store) -> None:
    owners = [("AIDAB", ACCOUNT), ("AIDAA", ACCOUNT), ("AIDAB", ACCOUNT), ("AIDAC", OTHER), ("s3.amazonaws.com", "")]
    records = [
        AccessKeyRecord(f"AKIA{number}", account, owner, b"w", active=True, created_at=NOW - number)
        for number, (owner, account) in enumerate(owners)
    ]

    def add(transaction: Transaction) -> None:
        for each in records:
            transaction.add_access_key(each)

    store.write(add)
    with store.read() as reader:
        assert reader.access_keys_in(ACCOUNT) == [records[1], records[2], records[0]]
