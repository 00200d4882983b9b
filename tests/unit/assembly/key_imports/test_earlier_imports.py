"""Imports after an earlier one whose report is given: what was removed here since stays removed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.sqlite import SqliteDatabase
from strongroom.assembly.key_imports.importer import import_keys
from strongroom.assembly.key_imports.one_key import Scene, Target
from strongroom.assembly.key_imports.report import ImportReport, Outcome, earlier_of, encode
from strongroom.clock import DAY, ManualClock
from strongroom.key_exports.document import ExportedGrant, ExportedKey, KeyExport
from strongroom.keys.arns import root_arn
from strongroom.keys.key_policy import default_policy
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.states import KeyState

NOW = 1_790_000_000.0
SOURCE, ACCOUNT, REGION = "111122223333", "000000000000", "us-east-1"
POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "own", "Effect": "Allow", '
    '"Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"}]}'
)


def exported(number: int) -> ExportedKey:
    key_id = f"00000000-0000-4000-8000-00000000000{number}"
    root = f"arn:aws:iam::{SOURCE}:root"
    return ExportedKey(
        key_spec=KeySpec.SYMMETRIC_DEFAULT,
        key_usage=KeyUsage.ENCRYPT_DECRYPT,
        key_state=KeyState.ENABLED,
        arn=f"arn:aws:kms:{REGION}:{SOURCE}:key/{key_id}",
        policy=POLICY,
        aliases=(f"alias/{number}", f"alias/{number}-more"),
        grants=(
            ExportedGrant(grant_id="a" * 64, operations=("Encrypt",), grantee_principal=root),
            ExportedGrant(grant_id="b" * 64, operations=("Decrypt",), grantee_principal=root),
        ),
    )


EXPORT = KeyExport(account=SOURCE, region=REGION, keys=(exported(1), exported(2)))
FIRST, SECOND = (key.key_id for key in EXPORT.keys)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalDeployment]:
    deployment = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    yield deployment
    deployment.deployment.close()


def run(
    local: LocalDeployment, earlier: ImportReport | None = None, export: KeyExport = EXPORT, *, dry_run: bool = False
) -> ImportReport:
    opened = local.deployment
    store, secrets = opened.backends.store, opened.backends.secrets
    trail = CommandTrail(SqliteDatabase(opened.folder), store, secrets, local.settings, local.clock, entropy)
    scene = Scene(opened.backends, trail, local.clock.now())
    known = None if earlier is None else earlier_of(encode(earlier), "report.json", ACCOUNT, REGION)
    target = Target(ACCOUNT, REGION)
    return import_keys(export, scene, target, {}, lambda *_: None, dry_run=dry_run, earlier=known)


def outcomes(report: ImportReport) -> list[Outcome]:
    return [key.outcome for key in report.keys]


def remove(local: LocalDeployment) -> str:
    """Remove a key, an alias, a grant and the policy of another; return the default policy."""
    local.call("ScheduleKeyDeletion", KeyId=FIRST, PendingWindowInDays=7)
    local.clock.advance(8 * DAY)
    local.deployment.keeper.run()
    local.call("DeleteAlias", AliasName="alias/2")
    local.call("RevokeGrant", KeyId=SECOND, GrantId="a" * 64)
    default: str = local.call("GetKeyPolicy", KeyId=local.call("CreateKey")["KeyMetadata"]["KeyId"])["Policy"]
    local.call("PutKeyPolicy", KeyId=SECOND, Policy=default)
    return default


def grants(local: LocalDeployment) -> list[Any]:
    return sorted(each["GrantId"][0] for each in local.call("ListGrants", KeyId=SECOND)["Grants"])


def test_what_was_removed_stays_removed_in_every_later_import(local: LocalDeployment) -> None:
    report = run(local)
    assert outcomes(report) == [Outcome.IMPORTED, Outcome.IMPORTED]
    assert report.keys[1].there == [
        "alias/2",
        "alias/2-more",
        "grant " + "a" * 64,
        "grant " + "b" * 64,
        "key",
        "policy",
    ]
    default = remove(local)
    for _ in range(2):
        assert outcomes(run(local, report, dry_run=True)) == [Outcome.SKIPPED, Outcome.PRESENT]
        report = run(local, report)
        assert outcomes(report) == [Outcome.SKIPPED, Outcome.PRESENT]
        assert "was deleted since" in str(report.keys[0].reason)
        with pytest.raises(Refused, match="NotFoundException"):
            local.call("DescribeKey", KeyId=FIRST)
        assert local.call("GetKeyPolicy", KeyId=SECOND)["Policy"] == default
        assert grants(local) == ["b"]
        with pytest.raises(Refused, match="NotFoundException"):
            local.call("DescribeKey", KeyId="alias/2")
    # Without the report, all of it comes back.
    assert outcomes(run(local)) == [Outcome.IMPORTED, Outcome.COMPLETED]
    assert grants(local) == ["a", "b"]
    assert local.call("GetKeyPolicy", KeyId=SECOND)["Policy"] != default


def test_what_is_new_in_the_source_is_added(local: LocalDeployment) -> None:
    first = replace(EXPORT, keys=(replace(exported(1), aliases=("alias/1",), grants=()),))
    report = run(local, export=first)
    local.call("DeleteAlias", AliasName="alias/1")
    report = run(local, report)
    assert outcomes(report) == [Outcome.COMPLETED, Outcome.IMPORTED]
    names = {each["AliasName"] for each in local.call("ListAliases")["Aliases"]}
    assert names == {"alias/1-more", "alias/2", "alias/2-more"}
    assert len(local.call("ListGrants", KeyId=FIRST)["Grants"]) == 2


def test_a_policy_that_the_source_has_made_narrower_is_taken(local: LocalDeployment) -> None:
    wide = default_policy(root_arn(REGION, SOURCE))
    report = run(local, export=replace(EXPORT, keys=(replace(exported(1), policy=wide),)))
    grants_noted = ["grant " + "a" * 64, "grant " + "b" * 64]
    assert report.keys[0].there == ["alias/1", "alias/1-more", "default policy", *grants_noted, "key"]
    default = local.call("GetKeyPolicy", KeyId=FIRST)["Policy"]
    local.call("DisableKey", KeyId=FIRST)
    report = run(local, report)
    assert outcomes(report) == [Outcome.COMPLETED, Outcome.IMPORTED]
    assert local.call("GetKeyPolicy", KeyId=FIRST)["Policy"] != default
    # An operator has disabled it, and not an import for want of a policy.
    assert local.call("DescribeKey", KeyId=FIRST)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_key_that_one_export_lacks_is_not_forgotten(local: LocalDeployment) -> None:
    report = run(local)
    remove(local)
    report = run(local, report, replace(EXPORT, keys=(exported(2),)))
    assert outcomes(report) == [Outcome.PRESENT, Outcome.SKIPPED]
    assert "is not in this export" in str(report.keys[1].reason)
    assert outcomes(run(local, report)) == [Outcome.SKIPPED, Outcome.PRESENT]
    with pytest.raises(Refused, match="NotFoundException"):
        local.call("DescribeKey", KeyId=FIRST)


def test_what_is_no_report_of_an_earlier_import_is_refused(local: LocalDeployment) -> None:
    rehearsed = run(local, dry_run=True)
    for content, why in (
        (b"{}", "is no report of an import"),
        (b"\xff", "is no report of an import"),
        (encode(rehearsed), "is the report of a dry run"),
        (
            encode(replace(run(local), region="eu-west-1")),
            "is the report of an import into account 000000000000 in eu-",
        ),
    ):
        with pytest.raises(DataFolderError, match=why):
            earlier_of(content, "report.json", ACCOUNT, REGION)
