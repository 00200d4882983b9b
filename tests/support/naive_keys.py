"""A second telling of the life of KMS keys, written from the documentation alone: plain sums over plain dictionaries.

Source: KMS API Reference; KMS Developer Guide, "Key states of AWS KMS keys", "Rotating", "Deleting", "Importing key
material" and "Multi-Region keys". It shares no code with ``strongroom.keys``.

A key here is a single-Region key, or all related multi-Region keys together. Its material has names: those that were
imported are the caller's, generated ones are numbered. What expires is gone at that moment; what is the keeper's to do,
and what one Region learns of an expiry in another, happens when the keeper comes.
"""

from dataclasses import dataclass, field
from typing import Any

DAY = 86_400.0
FOR_EVER = float("inf")
ENABLED, DISABLED, IMPORTING = "Enabled", "Disabled", "PendingImport"
REFUSALS = {
    DISABLED: "DisabledException",
    IMPORTING: "KMSInvalidStateException",
    "PendingDeletion": "KMSInvalidStateException",
    "PendingReplicaDeletion": "KMSInvalidStateException",
}

Fact = dict[str, Any]


class Refusal(Exception):
    """A call is refused; ``code`` is the error's name on the wire."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Part:
    """Material that is, or has been, current."""

    name: str
    rotated_at: float | None = None
    rotated_by: str | None = None


@dataclass
class Place:
    """The key in one Region: ``held`` is the imported material that is there, and until when."""

    disabled: bool = False
    window: int | None = None
    deletion_at: float | None = None
    held: dict[str, float] = field(default_factory=dict)


class NaiveKey:
    def __init__(self, spec: str, origin: str, region: str, *, multi_region: bool, now: float) -> None:
        self.spec, self.origin, self.multi_region, self.now = spec, origin, multi_region, now
        self.primary = region
        self.places = {region: Place()}
        self.parts: list[Part] = []
        self.waiting: str | None = None
        self.period, self.rotates_at = 0, FOR_EVER
        self.on_demand_rotations = 0
        self.events: list[tuple[str, str, str | None]] = []
        """What CloudTrail records of what the service does by itself: event, Region, name of the material."""
        if origin == "AWS_KMS":
            self.parts.append(Part("generated 1"))

    # --- what is so

    def state(self, region: str) -> str:
        if region not in self.places:
            raise Refusal("NotFoundException")
        place = self.places[region]
        if place.window is not None:
            return "PendingReplicaDeletion" if place.deletion_at is None else "PendingDeletion"
        if not self.is_whole(place):
            return IMPORTING
        return DISABLED if place.disabled else ENABLED

    def is_whole(self, place: Place) -> bool:
        return bool(self.parts) and all(self.has(place, part.name) for part in self.parts)

    def has(self, place: Place, name: str | None) -> bool:
        return name is not None and (self.origin == "AWS_KMS" or place.held.get(name, 0) > self.now)

    def associates(self, name: str) -> bool:
        return name == self.waiting or name in [part.name for part in self.parts]

    def arrived_everywhere(self) -> bool:
        return all(self.waiting in place.held for place in self.places.values())

    def description(self, region: str) -> Fact:
        state, place = self.state(region), self.places[region]
        found: Fact = {"KeyState": state, "Enabled": state == ENABLED}
        if state == "PendingDeletion":
            found["DeletionDate"] = place.deletion_at
        if state == "PendingReplicaDeletion":
            found["PendingDeletionWindowInDays"] = place.window
        if self.spec == "SYMMETRIC_DEFAULT" and self.parts and self.has(place, self.parts[-1].name):
            found["CurrentKeyMaterialId"] = self.parts[-1].name
        there = [
            place.held[part.name] for part in self.parts if self.origin == "EXTERNAL" and self.has(place, part.name)
        ]
        if there:
            found |= _expiry(min(there))
        if self.multi_region:
            kind = "PRIMARY" if region == self.primary else "REPLICA"
            found["MultiRegionConfiguration"] = (kind, self.primary, sorted(self.places.keys() - {self.primary}))
        return found

    def rotation_status(self, region: str) -> Fact:
        waits_for_deletion = self.state(region) in {"PendingDeletion", "PendingReplicaDeletion"}
        if self.rotates_at == FOR_EVER or waits_for_deletion:
            return {"KeyRotationEnabled": False}
        return {
            "KeyRotationEnabled": True,
            "RotationPeriodInDays": self.period,
            "NextRotationDate": self.rotates_at,
        }

    def materials(self, region: str) -> list[Fact]:
        """Return what ListKeyRotations lists with ALL_KEY_MATERIAL."""
        place = self.places[region]
        listed = [self._listed(place, part, "NON_CURRENT") for part in self.parts]
        listed[-1:] = [{**last, "KeyMaterialState": "CURRENT"} for last in listed[-1:]]
        # A primary has lost what has expired; a replica still knows what its primary waits for.
        expired = region == self.primary and place.held.get(self.waiting or "", FOR_EVER) <= self.now
        if self.waiting is not None and not expired:
            state = "PENDING_ROTATION" if self.arrived_everywhere() else "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
            listed.append(self._listed(place, Part(self.waiting), state))
        return listed

    def _listed(self, place: Place, part: Part, state: str) -> Fact:
        found: Fact = {"KeyMaterialId": part.name, "KeyMaterialState": state}
        if part.rotated_by is not None:
            found |= {"RotationDate": part.rotated_at, "RotationType": part.rotated_by}
        if self.origin == "EXTERNAL" and self.has(place, part.name):
            found |= {"ImportState": "IMPORTED", **_expiry(place.held[part.name])}
        elif self.origin == "EXTERNAL":
            found["ImportState"] = "PENDING_IMPORT"
        return found

    def due(self) -> list[float]:
        """Return when something will happen by itself."""
        ends = [place.deletion_at or FOR_EVER for place in self.places.values()]
        expiries = [when for place in self.places.values() for when in place.held.values()]
        return [when for when in (*ends, *expiries, self.rotates_at) if self.now < when < FOR_EVER]

    # --- what is done with it

    def encrypt(self, region: str) -> None:
        self._require(region, ENABLED)
        if self.spec == "HMAC_256":
            raise Refusal("InvalidKeyUsageException")

    def decrypt(self, region: str, owner: "NaiveKey") -> None:
        """Decrypt a blob of ``owner``, with this key named."""
        self._require(region, ENABLED)
        if owner is not self:
            known = self.spec == "HMAC_256" or region in owner.places
            raise Refusal("IncorrectKeyException" if known else "InvalidCiphertextException")

    def decrypt_unnamed(self, region: str) -> None:
        """Decrypt an own blob where only the blob names the key."""
        if region not in self.places:
            raise Refusal("InvalidCiphertextException")
        self._require(region, ENABLED)

    def make_tag(self, region: str) -> None:
        """Make a tag, or verify an own one."""
        self._require(region, ENABLED)
        if self.spec != "HMAC_256":
            raise Refusal("InvalidKeyUsageException")

    def enable(self, region: str) -> None:
        self._require(region, ENABLED, DISABLED)
        self.places[region].disabled = False

    def disable(self, region: str) -> None:
        self._require(region, ENABLED, DISABLED)
        self.places[region].disabled = True

    def schedule_deletion(self, region: str, window: int) -> None:
        self._require(region, ENABLED, DISABLED, IMPORTING)
        waits_for_replicas = region == self.primary and len(self.places) > 1
        self.places[region].window = window
        self.places[region].deletion_at = None if waits_for_replicas else self.now + window * DAY

    def cancel_deletion(self, region: str) -> None:
        self._require(region, "PendingDeletion", "PendingReplicaDeletion", otherwise="KMSInvalidStateException")
        place = self.places[region]
        place.window, place.deletion_at, place.disabled = None, None, True
        self._forget_switches()

    def enable_rotation(self, region: str, days: int) -> None:
        self._set_rotation(region, days, self.now + days * DAY)

    def disable_rotation(self, region: str) -> None:
        self._set_rotation(region, 0, FOR_EVER)

    def _set_rotation(self, region: str, period: int, rotates_at: float) -> None:
        if self.state(region) == IMPORTING:
            raise Refusal("UnsupportedOperationException")
        self._require(region, ENABLED)
        self._require_primary(region)
        if self.origin != "AWS_KMS" or self.spec != "SYMMETRIC_DEFAULT":
            raise Refusal("UnsupportedOperationException")
        self.period, self.rotates_at = period, rotates_at
        self._synchronized()

    def rotate_on_demand(self, region: str) -> None:
        self._require(region, ENABLED)
        self._require_primary(region)
        if self.spec != "SYMMETRIC_DEFAULT":
            raise Refusal("UnsupportedOperationException")
        if self.on_demand_rotations == 25:
            raise Refusal("LimitExceededException")
        if self.origin == "AWS_KMS" and self.rotates_at - self.now <= 20 * 60:
            raise Refusal("ConflictException")
        if self.origin == "EXTERNAL" and not (
            self.has(self.places[region], self.waiting) and self.arrived_everywhere()
        ):
            raise Refusal("KMSInvalidStateException")
        self.on_demand_rotations += 1
        self._rotate("ON_DEMAND")

    def _rotate(self, rotated_by: str) -> None:
        self.parts.append(Part(self.waiting or f"generated {len(self.parts) + 1}", self.now, rotated_by))
        self.waiting = None
        self._forget_switches()
        self._synchronized()

    def replicate(self, region: str, other: str) -> None:
        self._require(region, ENABLED)
        if not self.multi_region:
            raise Refusal("UnsupportedOperationException")
        self._require_primary(region)
        if other in self.places:
            raise Refusal("AlreadyExistsException")
        self.places[other] = Place()

    def update_primary(self, region: str, other: str) -> None:
        for each in (region, other):
            if each == region or each in self.places:
                self._require(each, ENABLED)
        if not self.multi_region or other == region:
            raise Refusal("UnsupportedOperationException")
        self._require_primary(region)
        if other not in self.places:
            raise Refusal("NotFoundException")
        self.primary = other

    def prepare_import(self, region: str) -> None:
        self._require(region, ENABLED, DISABLED, IMPORTING)
        if self.origin != "EXTERNAL":
            raise Refusal("UnsupportedOperationException")

    def import_material(self, region: str, name: str, import_type: str | None, valid_to: float | None) -> None:
        self.prepare_import(region)
        if import_type is not None and self.spec != "SYMMETRIC_DEFAULT":
            raise Refusal("UnsupportedOperationException")
        if import_type == "NEW_KEY_MATERIAL" or (import_type is None and not self.parts):
            self._require_primary(region)
            self._associate(name)
        elif not self.associates(name):
            raise Refusal("IncorrectKeyMaterialException")
        self.places[region].held[name] = FOR_EVER if valid_to is None else valid_to

    def _associate(self, name: str) -> None:
        if self.associates(name):
            raise Refusal("IncorrectKeyMaterialException")
        if self.waiting is not None:
            raise Refusal("KMSInvalidStateException")
        if self.parts:
            self.waiting = name
        else:
            self.parts.append(Part(name))

    def delete_material(self, region: str, name: str | None) -> str | None:
        """Delete material, the current one unless named; return its name."""
        self.state(region)
        if self.origin != "EXTERNAL":
            raise Refusal("UnsupportedOperationException")
        if name is not None and not self.associates(name):
            raise Refusal("NotFoundException")
        gone = name or (self.parts[-1].name if self.parts else None)
        if gone is not None:
            self._lose(region, gone)
        return gone

    def _lose(self, region: str, name: str) -> None:
        from_all = name == self.waiting and region == self.primary
        for place in self.places.values() if from_all else [self.places[region]]:
            place.held.pop(name, None)
        if from_all:
            self.waiting = None
        self._forget_switches()

    # --- what happens by itself

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self._forget_switches()

    def keeper_comes(self) -> None:
        if self.rotates_at <= self.now and self.places and self.state(self.primary) == ENABLED:
            self._rotate("AUTOMATIC")
            self.rotates_at = self.now + self.period * DAY
            self.events.append(("RotateKey", self.primary, self.parts[-1].name))
        earliest = {region: min(place.held.values(), default=FOR_EVER) for region, place in self.places.items()}
        for region in sorted(self.places, key=lambda each: earliest[each]):
            held = self.places[region].held
            for name in [name for name, until in held.items() if until <= self.now]:
                self._lose(region, name)
                self.events.append(("DeleteExpiredKeyMaterial", region, name))
        for region, place in list(self.places.items()):
            if place.deletion_at is not None and place.deletion_at <= self.now:
                self._delete(region)

    def _delete(self, region: str) -> None:
        del self.places[region]
        self.events.append(("DeleteKey", region, None))
        primary = self.places.get(self.primary)
        if primary and primary.window is not None and len(self.places) == 1:
            primary.deletion_at = self.now + primary.window * DAY

    def _synchronized(self) -> None:
        if len(self.places) > 1:
            self.events.append(("SynchronizeMultiRegionKey", self.primary, None))

    def _forget_switches(self) -> None:
        """A key that is pending import is Enabled, not Disabled, when all its material is back."""
        for place in self.places.values():
            place.disabled = place.disabled and (self.is_whole(place) or place.window is not None)

    def _require(self, region: str, *states: str, otherwise: str | None = None) -> None:
        state = self.state(region)
        if state not in states:
            raise Refusal(otherwise or REFUSALS[state])

    def _require_primary(self, region: str) -> None:
        if region != self.primary:
            raise Refusal("UnsupportedOperationException")


def _expiry(until: float) -> Fact:
    if until == FOR_EVER:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": until}
