"""Imports of keys from moto's KMS, over its HTTP server."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from audits import command_records
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.sqlite import SqliteDatabase
from strongroom.assembly.key_imports.importer import import_keys
from strongroom.assembly.key_imports.one_key import Scene, Target
from strongroom.assembly.key_imports.report import ImportedKey, ImportReport, Outcome, encode
from strongroom.aws_clients import AwsPlace
from strongroom.clock import DAY, ManualClock
from strongroom.iam.entities import Role
from strongroom.key_exports.aws import read_keys
from strongroom.key_exports.document import ExportedGrant, ExportedKey, KeyExport
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.store.scopes import AccountScope

NOW = 1_790_000_000.0
SOURCE, ACCOUNT, REGION = "123456789012", "000000000000", "us-east-1"
ROLE = f"arn:aws:iam::{SOURCE}:role/app"
TO_ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{SOURCE}:root"}, "Action": "kms:*", "Resource": "*"}
TO_ROLE = {
    "Effect": "Allow",
    "Principal": {"AWS": ROLE},
    "Action": "kms:Decrypt",
    "Resource": "*",
    "Condition": {"StringEquals": {"kms:CallerAccount": SOURCE}},
}
POLICY = {"Version": "2012-10-17", "Statement": [TO_ROOT, TO_ROLE]}
ROOT_ALONE = {"Version": "2012-10-17", "Statement": [TO_ROOT]}


def nothing(_done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def export() -> Iterator[KeyExport]:
    """Make keys in moto, and read them."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    place = AwsPlace(region=REGION, endpoint="http://{}:{}".format(*server.get_host_and_port()))
    kms: Any = botocore.session.Session().create_client(
        "kms",
        region_name=REGION,
        endpoint_url=place.endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    orders = kms.create_key(Description="orders", Tags=[{"TagKey": "team", "TagValue": "a"}])["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/orders", TargetKeyId=orders)
    kms.enable_key_rotation(KeyId=orders)
    kms.put_key_policy(KeyId=orders, PolicyName="default", Policy=json.dumps(POLICY))
    kms.create_grant(KeyId=orders, GranteePrincipal=ROLE, Operations=["Decrypt"], Name="app")
    kms.create_grant(
        KeyId=orders,
        GranteePrincipal=f"arn:aws:iam::{SOURCE}:root",
        Operations=["Encrypt"],
        Constraints={"EncryptionContextSubset": {"table": "orders"}},
    )
    kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Description="signs")
    kms.create_key(Origin="EXTERNAL", Description="imported")
    disabled = kms.create_key(Description="disabled")["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=disabled)
    deleted = kms.create_key(Description="deleted")["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=deleted, PendingWindowInDays=7)
    yield read_keys(kms, place, nothing)
    server.stop()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalDeployment]:
    deployment = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    yield deployment
    deployment.deployment.close()


def imported(
    local: LocalDeployment, export: KeyExport, materials: dict[str, bytes] | None = None, *, dry_run: bool = False
) -> dict[str, ImportedKey]:
    """Import all keys; return the results by the descriptions of the keys."""
    found = report_of(local, export, materials, dry_run=dry_run)
    return {key.description: each for key, each in zip(export.keys, found.keys, strict=True)}


def report_of(
    local: LocalDeployment, export: KeyExport, materials: dict[str, bytes] | None = None, *, dry_run: bool = False
) -> ImportReport:
    opened = local.deployment
    database = SqliteDatabase(opened.folder)
    trail = CommandTrail(database, opened.backends.store, opened.backends.secrets, local.settings, local.clock, entropy)
    scene = Scene(opened.backends, trail, local.clock.now())
    return import_keys(export, scene, Target(ACCOUNT, REGION), materials or {}, nothing, dry_run=dry_run)


def make_role(local: LocalDeployment) -> None:
    role = Role(
        unique_id="AROAEXAMPLEEXAMPLE234",
        account=ACCOUNT,
        name="app",
        path="/",
        created_at=NOW,
        trust_policy='{"Version": "2012-10-17", "Statement": []}',
    )
    local.deployment.backends.store.write(lambda t: t.put_entity(role), AccountScope(ACCOUNT))


def state_of(local: LocalDeployment, key: ImportedKey) -> str:
    state: str = local.call("DescribeKey", KeyId=key.key_arn)["KeyMetadata"]["KeyState"]
    return state


def test_a_dry_run_changes_nothing(local: LocalDeployment, export: KeyExport) -> None:
    outcomes = {name: each.outcome for name, each in imported(local, export, dry_run=True).items()}
    assert outcomes == {
        "orders": Outcome.IMPORTED,
        "signs": Outcome.IMPORTED,
        "imported": Outcome.IMPORTED,
        "disabled": Outcome.IMPORTED,
        "deleted": Outcome.SKIPPED,
    }
    assert local.call("ListKeys")["Keys"] == []


def test_what_is_taken_over(local: LocalDeployment, export: KeyExport) -> None:
    make_role(local)
    found = imported(local, export)
    orders = found["orders"]
    assert orders.key_arn == orders.source_arn.replace(SOURCE, ACCOUNT)
    assert (orders.missing, orders.notes) == ([], ["it has new key material"])
    described = local.call("DescribeKey", KeyId="alias/orders")["KeyMetadata"]
    assert (described["Arn"], described["KeyState"], described["Description"]) == (orders.key_arn, "Enabled", "orders")
    assert local.call("ListResourceTags", KeyId=orders.key_arn)["Tags"] == [{"TagKey": "team", "TagValue": "a"}]
    status = local.call("GetKeyRotationStatus", KeyId=orders.key_arn)
    assert (status["KeyRotationEnabled"], status["NextRotationDate"]) == (True, NOW + 365 * DAY)
    policy = local.call("GetKeyPolicy", KeyId=orders.key_arn)["Policy"]
    assert json.loads(policy) == json.loads(json.dumps(POLICY).replace(SOURCE, ACCOUNT))
    grants = {each["Name"]: each for each in local.call("ListGrants", KeyId=orders.key_arn)["Grants"]}
    assert grants["app"]["GranteePrincipal"] == ROLE.replace(SOURCE, ACCOUNT)
    assert grants[""]["Constraints"] == {"EncryptionContextSubset": {"table": "orders"}}
    blob = local.call("Encrypt", KeyId="alias/orders", Plaintext=base64.b64encode(b"x").decode())["CiphertextBlob"]
    assert base64.b64decode(local.call("Decrypt", CiphertextBlob=blob)["Plaintext"]) == b"x"
    assert found["signs"].notes == ["it has new key material, and so a new public key"]
    assert state_of(local, found["disabled"]) == "Disabled"
    assert (found["deleted"].reason or "").startswith("it is PendingDeletion")
    events = [each for each in command_records(local.folder) if each["eventName"] == "ImportKey"]
    assert [each["serviceEventDetails"]["sourceArn"] for each in events] == [
        each.source_arn for each in found.values() if each.outcome is Outcome.IMPORTED
    ]


def test_a_key_stays_disabled_until_its_policy_can_be_had(local: LocalDeployment, export: KeyExport) -> None:
    first = imported(local, export)["orders"]
    role = ROLE.replace(SOURCE, ACCOUNT)
    assert first.missing[0] == f"its policy: it names {role}, unknown here; make that, and import again"
    assert first.missing[1].endswith(f"ARN does not refer to a valid principal: {role}")
    assert state_of(local, first) == "Disabled"
    again = imported(local, export)
    assert {each.outcome for each in again.values()} == {Outcome.PRESENT, Outcome.SKIPPED}
    make_role(local)
    completed = imported(local, export)["orders"]
    assert (completed.outcome, completed.missing) == (Outcome.COMPLETED, [])
    assert state_of(local, completed) == "Enabled"
    assert len(local.call("ListGrants", KeyId=completed.key_arn)["Grants"]) == 2
    assert imported(local, export)["orders"].outcome is Outcome.PRESENT


def test_what_an_operator_has_changed_stays(local: LocalDeployment, export: KeyExport) -> None:
    make_role(local)
    arn = imported(local, export)["orders"].key_arn
    local.call("PutKeyPolicy", KeyId=arn, Policy=json.dumps(ROOT_ALONE).replace(SOURCE, ACCOUNT))
    local.call("DisableKey", KeyId=arn)
    before = local.call("GetKeyPolicy", KeyId=arn)["Policy"]
    assert imported(local, export)["orders"].outcome is Outcome.PRESENT
    assert local.call("GetKeyPolicy", KeyId=arn)["Policy"] == before
    assert local.call("DescribeKey", KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"


def test_what_was_removed_here_is_made_again_as_the_docs_say(local: LocalDeployment, export: KeyExport) -> None:
    make_role(local)
    arn = imported(local, export)["orders"].key_arn
    local.call("DeleteAlias", AliasName="alias/orders")
    grants = local.call("ListGrants", KeyId=arn)["Grants"]
    local.call("RevokeGrant", KeyId=arn, GrantId=grants[0]["GrantId"])
    assert imported(local, export, dry_run=True)["orders"].outcome is Outcome.COMPLETED
    assert imported(local, export)["orders"].outcome is Outcome.COMPLETED
    assert len(local.call("ListGrants", KeyId=arn)["Grants"]) == len(grants)
    assert local.call("DescribeKey", KeyId="alias/orders")["KeyMetadata"]["Arn"] == arn


def test_material_that_the_operator_still_has(local: LocalDeployment, export: KeyExport) -> None:
    without = imported(local, export)["imported"]
    assert state_of(local, without) == "PendingImport"
    assert "--material" in without.missing[0]
    assert without.key_arn is not None
    key_id = without.key_arn.rpartition("/")[2]
    given = imported(local, export, {key_id: bytes(32)})["imported"]
    assert (given.outcome, given.missing, state_of(local, given)) == (Outcome.COMPLETED, [], "Enabled")
    assert imported(local, export, {key_id: bytes(32)})["imported"].outcome is Outcome.PRESENT


def test_a_key_of_external_origin_waits_for_its_policy(local: LocalDeployment) -> None:
    # PendingImport holds nothing back: ImportKeyMaterial makes it Enabled.
    export = exported(policy=json.dumps(POLICY), origin=Origin.EXTERNAL, key_state=KeyState.PENDING_IMPORT)
    report = report_of(local, export)
    (key,) = report.keys
    assert (key.outcome, report.complete) == (Outcome.SKIPPED, False)
    assert "unknown here; make that, and import again" in key.missing[0]
    assert local.call("ListKeys")["Keys"] == []
    make_role(local)
    (key,) = report_of(local, export).keys
    assert (key.outcome, state_of(local, key)) == (Outcome.IMPORTED, "PendingImport")


def test_an_import_undoes_no_deletion(local: LocalDeployment) -> None:
    export = exported(origin=Origin.EXTERNAL, key_state=KeyState.DISABLED, aliases=("alias/a",))
    (key,) = report_of(local, export).keys
    local.call("DeleteAlias", AliasName="alias/a")
    local.call("ScheduleKeyDeletion", KeyId=key.key_arn)
    (again,) = report_of(local, export, {export.keys[0].key_id: bytes(32)}).keys
    assert (again.outcome, again.reason) == (
        Outcome.SKIPPED,
        "it is PendingDeletion here, and stays so: an import undoes no deletion",
    )
    assert state_of(local, key) == "PendingDeletion"
    assert local.call("ListAliases")["Aliases"] == []


def test_material_of_another_length(local: LocalDeployment, export: KeyExport) -> None:
    key_id = next(key.key_id for key in export.keys if key.origin is Origin.EXTERNAL)
    refused = imported(local, export, {key_id: bytes(16)})["imported"]
    assert (refused.outcome, refused.reason) == (
        Outcome.SKIPPED,
        "The key material is not valid for KeySpec SYMMETRIC_DEFAULT.",
    )
    with pytest.raises(Refused, match="NotFoundException"):
        local.call("DescribeKey", KeyId=key_id)


def test_an_alias_of_another_key_stays(local: LocalDeployment, export: KeyExport) -> None:
    other = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("CreateAlias", AliasName="alias/orders", TargetKeyId=other)
    assert f"alias/orders: it is the alias of key {other} here" in imported(local, export)["orders"].missing


MRK = "mrk-" + "0a" * 16
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "managed by AWS": ({"key_manager": KeyManager.AWS}, "it is an AWS managed key"),
    "in a custom key store": ({"origin": Origin.AWS_CLOUDHSM}, "its Origin is AWS_CLOUDHSM"),
    "a replica": (
        {"multi_region_key_type": "REPLICA", "primary_arn": f"arn:aws:kms:eu-west-1:{SOURCE}:key/{MRK}"},
        "import the primary from eu-west-1, then make the replica with ReplicateKey",
    ),
    "a replica of an unknown key": (
        {"multi_region_key_type": "REPLICA", "primary_arn": "x"},
        "import the primary from its primary Region",
    ),
    "a contradiction": ({"multi_region_key_type": "PRIMARY"}, "contradict each other"),
    "another id": ({"arn": f"arn:aws:kms:us-east-1:{SOURCE}:key/x"}, "`x` is not a key id as AWS makes them"),
    "too long a description": ({"description": "x" * 9000}, "Member must have length less than or equal to 8192"),
}


def exported(**more: Any) -> KeyExport:
    members: dict[str, Any] = {
        "arn": f"arn:aws:kms:us-east-1:{SOURCE}:key/bc436485-5092-42b8-92a3-0aa8b93536dc",
        "key_spec": KeySpec.SYMMETRIC_DEFAULT,
        "key_usage": KeyUsage.ENCRYPT_DECRYPT,
        "key_state": KeyState.ENABLED,
        "policy": json.dumps(ROOT_ALONE),
    }
    return KeyExport(account=SOURCE, region=REGION, keys=(ExportedKey(**members | more),))


def test_a_grant_with_an_unknown_constraint_is_not_made(local: LocalDeployment) -> None:
    grant = ExportedGrant(
        grant_id="a" * 64,
        grantee_principal=f"arn:aws:iam::{SOURCE}:root",
        operations=("Decrypt",),
        constraints={"EncryptionContextSubset": {"a": "b"}, "OnlyOnSundays": "true"},
    )
    (key,) = report_of(local, exported(grants=(grant,))).keys
    assert key.missing == [f"grant {'a' * 64}: it would apply without its OnlyOnSundays, which are unknown here"]
    assert local.call("ListGrants", KeyId=key.key_arn)["Grants"] == []


def test_a_policy_that_names_another_region(local: LocalDeployment) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:Encrypt",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [TO_ROOT, deny]})
    arn = f"arn:aws:kms:eu-central-1:{SOURCE}:key/bc436485-5092-42b8-92a3-0aa8b93536dc"
    (key,) = report_of(local, exported(arn=arn, policy=policy)).keys
    assert key.missing[0].startswith("its policy: it names the Region eu-central-1; change that in an export")
    assert state_of(local, key) == "Disabled"
    (key,) = report_of(local, exported(arn=arn, policy=policy.replace("eu-central-1", REGION))).keys
    assert (key.missing, state_of(local, key)) == ([], "Enabled")


def test_grants_over_the_limit_are_missing(local: LocalDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.assembly.key_imports.grants.MAX_GRANTS", 1)
    grants = tuple(
        ExportedGrant(grant_id=name * 64, grantee_principal=f"arn:aws:iam::{SOURCE}:root", operations=("Decrypt",))
        for name in "ab"
    )
    (key,) = report_of(local, exported(grants=grants)).keys
    assert key.missing == [f"grant {'b' * 64}: the key has 1 grants already"]
    assert len(local.call("ListGrants", KeyId=key.key_arn)["Grants"]) == 1


def test_tags_that_aws_reserves_are_left_out(local: LocalDeployment) -> None:
    tags = {"aws:cloudformation:stack-name": "a", "team": "b"}
    (key,) = report_of(local, exported(tags=tags)).keys
    assert key.notes[0] == "its tags aws:cloudformation:stack-name are left out: AWS reserves them for itself"
    assert local.call("ListResourceTags", KeyId=key.key_arn)["Tags"] == [{"TagKey": "team", "TagValue": "b"}]


def test_keys_that_cannot_be_imported(local: LocalDeployment) -> None:
    for more, reason in CASES.values():
        (key,) = report_of(local, exported(**more)).keys
        assert key.outcome is Outcome.SKIPPED
        assert reason in (key.reason or "")
    assert local.call("ListKeys")["Keys"] == []


def test_a_multi_region_primary_keeps_its_id(local: LocalDeployment) -> None:
    primary = {"arn": f"arn:aws:kms:us-east-1:{SOURCE}:key/{MRK}", "multi_region_key_type": "PRIMARY"}
    (key,) = report_of(local, exported(**primary)).keys
    assert key.notes[-1] == "it is a primary without replicas: make them with ReplicateKey"
    local.call("ReplicateKey", KeyId=MRK, ReplicaRegion="eu-west-1")
    (key,) = report_of(local, exported(**primary)).keys
    assert "has this key id: make related keys with ReplicateKey" in (key.reason or "")


@pytest.mark.parametrize(
    ("policy", "problem"), [("[" * 32_000, "is nested too deeply"), (" " * 32_769, "is larger than 32768 bytes")]
)
def test_a_policy_that_is_too_deep_or_too_large(local: LocalDeployment, policy: str, problem: str) -> None:
    (key,) = report_of(local, exported(policy=policy)).keys
    assert key.missing == [f"its policy: it {problem}"]
    assert state_of(local, key) == "Disabled"


def test_a_policy_that_was_not_read(local: LocalDeployment) -> None:
    (key,) = report_of(local, exported(policy=None, unread={"Policy": "AWS answers AccessDeniedException"})).keys
    assert key.missing == ["its policy: AWS answers AccessDeniedException"]
    assert state_of(local, key) == "Disabled"


def test_targets_that_are_not_there(local: LocalDeployment) -> None:
    export = exported()
    opened = local.deployment
    database = SqliteDatabase(opened.folder)
    trail = CommandTrail(database, opened.backends.store, opened.backends.secrets, local.settings, local.clock, entropy)
    scene = Scene(opened.backends, trail, NOW)
    for target, materials, message in (
        (Target(ACCOUNT, "us-west-2"), {}, "the Region `us-west-2` is not served here, but us-east-1, eu-west-1"),
        (Target("999999999999", REGION), {}, "there is no account `999999999999`"),
        (Target(ACCOUNT, REGION), {"x": b""}, "the export has no key `x` of Origin EXTERNAL"),
    ):
        with pytest.raises(DataFolderError, match=message):
            import_keys(export, scene, target, materials, nothing, dry_run=False)


def test_a_report_is_json(local: LocalDeployment) -> None:
    report = json.loads(encode(report_of(local, exported())))
    assert report["complete"] is True
    assert report["keys"][0]["outcome"] == "imported"
