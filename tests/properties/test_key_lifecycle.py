"""The life of keys in three Regions under any sequence of calls at any times, compared with a plain model.

A real deployment under a manual clock and ``reference_keys`` get the same calls: both do them, or both refuse them
alike. After each, every key looks as the model says, every blob ever made opens exactly where the model says, and the
audit log has recorded what the service did by itself, once.
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from audits import audit_lines
from key_import import wrapped
from local_deployment import LocalDeployment, Refused
from reference_keys import DAY, ReferenceKey, Refusal
from strongroom.clock import ManualClock

NOW = 1_790_000_000.0
REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")
HOME, AWAY, _ = REGIONS
SYMMETRIC, HMAC, RSA = "SYMMETRIC_DEFAULT", "HMAC_256", "RSA_2048"
USAGES = {SYMMETRIC: "ENCRYPT_DECRYPT", HMAC: "GENERATE_VERIFY_MAC", RSA: "ENCRYPT_DECRYPT"}
ALGORITHMS = {SYMMETRIC: "SYMMETRIC_DEFAULT", RSA: "RSAES_OAEP_SHA_256"}
DESCRIBED = (
    *("KeyState", "Enabled", "DeletionDate", "PendingDeletionWindowInDays", "ExpirationModel", "ValidTo"),
    *("CurrentKeyMaterialId", "MultiRegionConfiguration"),
)
LISTED = (
    *("KeyMaterialId", "KeyMaterialState", "RotationDate", "RotationType"),
    *("ImportState", "ExpirationModel", "ValidTo"),
)
TEXT = "dGV4dA=="
UNKNOWN = "0" * 64
PLACES = 6

numbers = st.integers(1, 3)
places = st.integers(0, PLACES + 2)
regions = st.sampled_from(REGIONS)
lifetimes = st.none() | st.sampled_from([1, 10, 100, 364])
import_types = st.sampled_from([None, "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"])
waits = st.sampled_from([DAY / 24, DAY, 7 * DAY, 31 * DAY, 100 * DAY, 400 * DAY])


class Lifecycle(RuleBasedStateMachine):
    """Keys, and the calls made to them. A place is a number that stands for a Region, usually one where the key is."""

    keys: Bundle[ReferenceKey] = Bundle("keys")
    related = keys.filter(lambda key: key.multi_region)
    external = keys.filter(lambda key: key.origin == "EXTERNAL")
    generated = keys.filter(lambda key: key.origin == "AWS_KMS")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock(NOW)
        self.local = LocalDeployment(Path(self.folder.name) / "data", self.clock, REGIONS)
        self.ids: dict[ReferenceKey, str] = {}
        self.material_ids: dict[tuple[ReferenceKey, str], str] = {}
        self.prepared: dict[tuple[ReferenceKey, str], dict[str, Any]] = {}
        self.blobs: dict[ReferenceKey, dict[str, str]] = defaultdict(dict)
        self.tags: dict[ReferenceKey, set[str]] = defaultdict(set)
        self.lines_seen = 0
        self.imports = 0

    @override
    def teardown(self) -> None:
        self.local.deployment.close()
        self.folder.cleanup()

    def agree(
        self, operation: str, region: str, foreseen: Callable[[str], object], **request: Any
    ) -> dict[str, Any] | None:
        """Make a call to the service and to the model; return the answer, or None where both refuse it alike."""
        expected = refused = answer = None
        try:
            foreseen(region)
        except Refusal as refusal:
            expected = refusal.code
        try:
            answer = self.local.call(operation, region=region, **request)
        except Refused as refusal:
            refused = refusal.code
        assert refused == expected, f"{operation} in {region}: {refused}, not {expected}"
        return answer

    def call(
        self, operation: str, key: ReferenceKey, region: str, foreseen: Callable[[str], object], **request: Any
    ) -> dict[str, Any] | None:
        return self.agree(operation, region, foreseen, KeyId=self.ids[key], **request)

    # --- keys

    def new_key(self, spec: str, origin: str, region: str, *, multi_region: bool) -> ReferenceKey:
        key = ReferenceKey(spec, origin, region, multi_region=multi_region, now=self.clock.now())
        kind = {"KeySpec": spec, "KeyUsage": USAGES[spec], "Origin": origin, "MultiRegion": multi_region}
        self.ids[key] = self.local.call("CreateKey", region=region, **kind)["KeyMetadata"]["KeyId"]
        self.learn(key)
        return key

    def learn(self, key: ReferenceKey) -> None:
        """Note the id of the newest material, if it was generated; it is one never seen before."""
        name = key.material_history[-1].name if key.material_history and key.regions else ""
        if key.spec == SYMMETRIC and name.startswith("generated") and (key, name) not in self.material_ids:
            found = self.local.call("DescribeKey", KeyId=self.ids[key], region=key.primary)["KeyMetadata"]
            assert found["CurrentKeyMaterialId"] not in self.material_ids.values()
            self.material_ids[key, name] = found["CurrentKeyMaterialId"]

    @initialize(target=keys, spec=st.sampled_from([SYMMETRIC, SYMMETRIC, SYMMETRIC, HMAC]), days=lifetimes)
    def begin_with_imported_material(self, spec: str, days: int | None) -> ReferenceKey:
        key = self.new_key(spec, "EXTERNAL", HOME, multi_region=True)
        self.import_at(key, HOME, 1, days)
        self.call("ReplicateKey", key, HOME, partial(key.replicate, other=AWAY), ReplicaRegion=AWAY)
        self.import_at(key, AWAY, 1, days)
        return key

    @initialize(target=keys, spec=st.sampled_from([SYMMETRIC, SYMMETRIC, HMAC, RSA]), multi_region=st.booleans())
    def begin_with_generated_material(self, spec: str, multi_region: bool) -> ReferenceKey:  # noqa: FBT001 - drawn
        return self.new_key(spec, "AWS_KMS", HOME, multi_region=multi_region)

    @precondition(lambda self: len(self.ids) < 3)
    @rule(
        target=keys,
        spec=st.sampled_from([SYMMETRIC, HMAC]),
        origin=st.sampled_from(["AWS_KMS", "EXTERNAL"]),
        region=regions,
        multi_region=st.booleans(),
    )
    def create(self, spec: str, origin: str, region: str, multi_region: bool) -> ReferenceKey:  # noqa: FBT001 - drawn
        return self.new_key(spec, origin, region, multi_region=multi_region)

    @rule(key=keys, place=places, operation=st.sampled_from(["EnableKey", "DisableKey", "CancelKeyDeletion"]))
    def switch(self, key: ReferenceKey, place: int, operation: str) -> None:
        foreseen = {"EnableKey": key.enable, "DisableKey": key.disable, "CancelKeyDeletion": key.cancel_deletion}
        self.call(operation, key, where(key, place), foreseen[operation])

    @rule(key=keys, place=places, days=st.sampled_from([7, 8, 30]))
    def schedule_deletion(self, key: ReferenceKey, place: int, days: int) -> None:
        foreseen, region = partial(key.schedule_deletion, window=days), where(key, place)
        answer = self.call("ScheduleKeyDeletion", key, region, foreseen, PendingWindowInDays=days)
        if answer is not None:
            seen = key.description(region)
            assert (answer["KeyState"], answer["PendingWindowInDays"]) == (seen["KeyState"], days)
            assert answer.get("DeletionDate") == seen.get("DeletionDate")

    # --- rotation

    @rule(key=generated, place=places, days=st.sampled_from([90, 91, 365, None]))
    def set_rotation(self, key: ReferenceKey, place: int, days: int | None) -> None:
        region = where(key, place)
        if days is None:
            self.call("DisableKeyRotation", key, region, key.disable_rotation)
        else:
            foreseen = partial(key.enable_rotation, days=days)
            self.call("EnableKeyRotation", key, region, foreseen, RotationPeriodInDays=days)

    @rule(key=keys, place=places, times=st.sampled_from([1] * 15 + [26]))
    def rotate_on_demand(self, key: ReferenceKey, place: int, times: int) -> None:
        while times and self.rotate_at(key, where(key, place)):
            times -= 1

    def rotate_at(self, key: ReferenceKey, region: str) -> bool:
        answer = self.call("RotateKeyOnDemand", key, region, key.rotate_on_demand)
        self.learn(key)
        return answer is not None

    # --- Regions

    @rule(key=related, place=places, other=regions)
    def replicate(self, key: ReferenceKey, place: int, other: str) -> None:
        foreseen = partial(key.replicate, other=other)
        self.call("ReplicateKey", key, where(key, place), foreseen, ReplicaRegion=other)

    @rule(key=related, place=places, other=regions)
    def update_primary(self, key: ReferenceKey, place: int, other: str) -> None:
        foreseen = partial(key.update_primary, other=other)
        self.call("UpdatePrimaryRegion", key, where(key, place), foreseen, PrimaryRegion=other)

    # --- imported material

    def import_at(
        self, key: ReferenceKey, region: str, number: int, days: int | None = None, import_type: str | None = None
    ) -> None:
        now = self.clock.now()
        given = self.prepared.get((key, region))
        if given is None or given["ParametersValidTo"] <= now:
            how = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
            given = self.call("GetParametersForImport", key, region, key.prepare_import, **how)
            if given is None:
                return
            self.prepared[key, region] = given
        # No two expire at the same moment, because the order of their expiry would be undefined.
        self.imports += 1
        valid_to = None if days is None else now + days * DAY + self.imports
        answer = self.call(
            "ImportKeyMaterial",
            key,
            region,
            partial(key.import_material, name=str(number), import_type=import_type, valid_to=valid_to),
            **wrapped(given, bytes([number]) * 32),
            ExpirationModel=f"KEY_MATERIAL_{'DOES_NOT_EXPIRE' if days is None else 'EXPIRES'}",
            **({} if valid_to is None else {"ValidTo": valid_to}),
            **({} if import_type is None else {"ImportType": import_type}),
        )
        if answer is not None and key.spec == SYMMETRIC:
            assert self.material_ids.setdefault((key, str(number)), answer["KeyMaterialId"]) == answer["KeyMaterialId"]

    @rule(key=external, place=places, number=numbers, days=lifetimes, import_type=import_types)
    def import_material(
        self, key: ReferenceKey, place: int, number: int, days: int | None, import_type: str | None
    ) -> None:
        self.import_at(key, where(key, place), number, days, import_type)

    @rule(key=external, number=numbers, days=lifetimes, rotates=st.booleans())
    def import_everywhere(self, key: ReferenceKey, number: int, days: int | None, rotates: bool) -> None:  # noqa: FBT001 - drawn
        """Import what the key has, or new material: into the primary, then into its replicas; and rotate to it."""
        for region in sorted(key.regions, key=lambda each: each != key.primary):
            new = key.spec == SYMMETRIC and region == key.primary and not key.associates(str(number))
            self.import_at(key, region, number, days, "NEW_KEY_MATERIAL" if new else None)
        if rotates:
            self.rotate_at(key, key.primary)

    @rule(key=external, place=places, number=st.none() | numbers)
    def delete_material(self, key: ReferenceKey, place: int, number: int | None) -> None:
        name = None if number is None or key.spec != SYMMETRIC else str(number)
        chosen = {} if name is None else {"KeyMaterialId": self.material_ids.get((key, name), UNKNOWN)}
        foreseen = partial(key.delete_material, name=name)
        self.call("DeleteImportedKeyMaterial", key, where(key, place), foreseen, **chosen)

    # --- use

    def encrypt_at(self, key: ReferenceKey, region: str) -> None:
        algorithm = ALGORITHMS.get(key.spec, "SYMMETRIC_DEFAULT")
        answer = self.call("Encrypt", key, region, key.encrypt, Plaintext=TEXT, EncryptionAlgorithm=algorithm)
        if answer is not None:
            self.blobs[key][key.material_history[-1].name] = answer["CiphertextBlob"]

    def generate_mac_at(self, key: ReferenceKey, region: str) -> None:
        answer = self.call("GenerateMac", key, region, key.make_tag, Message=TEXT, MacAlgorithm="HMAC_SHA_256")
        if answer is not None:
            self.tags[key].add(answer["Mac"])

    @rule(key=keys, owner=keys, place=places)
    def use_for_anything(self, key: ReferenceKey, owner: ReferenceKey, place: int) -> None:
        """A key does only what it is for, and if it is named, opens its own blobs and no other's."""
        region = where(key, place)
        self.encrypt_at(key, region)
        self.generate_mac_at(key, region)
        if key.spec != RSA and owner.spec == SYMMETRIC:
            for blob in self.blobs[owner].values():
                self.call("Decrypt", key, region, partial(key.decrypt, owner=owner), CiphertextBlob=blob)

    # --- time

    @rule(seconds=waits, then=st.sampled_from(["keeper", "restart", "nothing"]))
    def wait(self, seconds: float, then: str) -> None:
        self.clock.advance(seconds)
        for key in self.ids:
            key.pass_time(seconds)
        if then == "restart":
            self.local.reopen()
        if then == "keeper":
            self.run_keeper()

    @rule(offset=st.sampled_from([-1201, -1200, -1, 0, 0, 0]), then=st.sampled_from(["keeper", "restart", "nothing"]))
    def wait_until_something_is_due(self, offset: int, then: str) -> None:
        due = [when + offset for key in self.ids for when in key.due() if when + offset > self.clock.now()]
        if due:
            self.wait(min(due) - self.clock.now(), then)

    @rule()
    def run_keeper(self) -> None:
        self.local.deployment.keeper.run()
        for key in self.ids:
            key.run_keeper()
            self.learn(key)
            for region in set(REGIONS) - key.regions.keys():
                self.call("DescribeKey", key, region, key.state)
                self.use(key, region)

    # --- what must hold

    def named(self, key: ReferenceKey, seen: dict[str, Any], members: tuple[str, ...]) -> dict[str, Any]:
        """Return some members of an answer, with the model's names of material and of relatives."""
        found = {member: seen[member] for member in members if member in seen}
        names = {material_id: name for (owner, name), material_id in self.material_ids.items() if owner is key}
        for member in found.keys() & {"KeyMaterialId", "CurrentKeyMaterialId"}:
            found[member] = names[found[member]]
        if "MultiRegionConfiguration" in found:
            relatives = found["MultiRegionConfiguration"]
            replicas = sorted(each["Region"] for each in relatives["ReplicaKeys"])
            found["MultiRegionConfiguration"] = (
                relatives["MultiRegionKeyType"],
                relatives["PrimaryKey"]["Region"],
                replicas,
            )
        return found

    @invariant()
    def keys_are_described_as_the_model_says(self) -> None:
        for key in self.ids:
            for region in key.regions:
                seen = self.local.call("DescribeKey", KeyId=self.ids[key], region=region)["KeyMetadata"]
                assert self.named(key, seen, DESCRIBED) == key.description(region)

    @invariant()
    def they_rotate_and_have_rotated_as_the_model_says(self) -> None:
        for key in self.ids:
            for region in key.regions:
                status = self.local.call("GetKeyRotationStatus", KeyId=self.ids[key], region=region)
                status.pop("KeyId")
                assert status == key.rotation_status(region)
                if key.spec == SYMMETRIC:
                    listed = key.materials(region)
                    assert self.listed(key, region, "ALL_KEY_MATERIAL") == listed
                    rotations = [each for each in listed if "RotationType" in each]
                    assert self.listed(key, region, "ROTATIONS_ONLY") == rotations

    def listed(self, key: ReferenceKey, region: str, which: str) -> list[dict[str, Any]]:
        answer = self.local.call("ListKeyRotations", KeyId=self.ids[key], region=region, IncludeKeyMaterial=which)
        return [self.named(key, each, LISTED) for each in answer["Rotations"]]

    @invariant()
    def blobs_and_tags_are_good_exactly_where_the_model_says(self) -> None:
        for key in self.ids:
            for region in key.regions:
                if key.spec == HMAC and not self.tags[key]:
                    self.generate_mac_at(key, region)
                if key.spec != HMAC and key.material_history and key.material_history[-1].name not in self.blobs[key]:
                    self.encrypt_at(key, region)
                self.use(key, region)

    def use(self, key: ReferenceKey, region: str) -> None:
        """Try everything that was made with a key."""
        algorithm = {"EncryptionAlgorithm": ALGORITHMS.get(key.spec)}
        for name, blob in self.blobs[key].items():
            if key.spec == SYMMETRIC:
                answer = self.agree("Decrypt", region, key.decrypt_unnamed, CiphertextBlob=blob)
                assert answer is None or answer["KeyMaterialId"] == self.material_ids[key, name]
            else:
                foreseen = partial(key.decrypt, owner=key)
                answer = self.call("Decrypt", key, region, foreseen, CiphertextBlob=blob, **algorithm)
            assert answer is None or answer["Plaintext"] == TEXT
        for tag in self.tags[key]:
            self.call("VerifyMac", key, region, key.make_tag, Message=TEXT, Mac=tag, MacAlgorithm="HMAC_SHA_256")

    @invariant()
    def what_the_service_did_by_itself_is_recorded_once(self) -> None:
        lines = audit_lines(self.local.folder)
        new, self.lines_seen = lines[self.lines_seen :], len(lines)
        seen = Counter(self.recorded(json.loads(line)) for line in new if b"AWS Internal" in line)
        happened = Counter(
            (event, region, self.ids[key], self.material_ids.get((key, name or "")))
            for key in self.ids
            for event, region, name in key.events
        )
        assert seen == happened
        for key in self.ids:
            key.events.clear()

    def recorded(self, record: dict[str, Any]) -> tuple[str, str, str, str | None]:
        """Return what was done, where, to which key, and to which material; only symmetric keys tell its id."""
        key_id = record["resources"][0]["ARN"].rpartition("/")[2]
        material_id = record.get("serviceEventDetails", {}).get("keyMaterialId")
        known = material_id if material_id in self.material_ids.values() else None
        return record["eventName"], record["awsRegion"], key_id, known


def where(key: ReferenceKey, place: int) -> str:
    """Return one of a key's Regions, or sometimes any of the three."""
    regions = list(key.regions) if place < PLACES else ()
    return regions[place % len(regions)] if regions else REGIONS[place % len(REGIONS)]


TestLifecycle = Lifecycle.TestCase
# Shrinking would take minutes, and what it shrinks is short enough to read.
phases = set(Phase) - {Phase.shrink, Phase.explain}
TestLifecycle.settings = settings(max_examples=50, stateful_step_count=40, phases=phases)
