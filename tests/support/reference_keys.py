"""A reference model of the life of KMS keys, written from the documentation alone, over plain dictionaries.

Source: KMS API Reference; KMS Developer Guide, "Key states of AWS KMS keys", "Rotating", "Deleting", "Importing key
material" and "Multi-Region keys". It shares no code with ``strongroom.keys``.

A key here is a single-Region key, or all related multi-Region keys together. Key material has names: that of
the caller if it was imported, a number if it was generated. Expired material is gone at once. Deletion, rotation, and
the effect of an expiry in another Region happen when the keeper runs.
"""

from dataclasses import dataclass, field
from typing import Any

DAY = 86_400.0
NEVER = float("inf")
ENABLED, DISABLED, IMPORTING = "Enabled", "Disabled", "PendingImport"
REFUSALS = {
    DISABLED: "DisabledException",
    IMPORTING: "KMSInvalidStateException",
    "PendingDeletion": "KMSInvalidStateException",
    "PendingReplicaDeletion": "KMSInvalidStateException",
}

Fact = dict[str, Any]


class Refusal(Exception):
    """A call is refused. ``code`` is the error code of the response."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Material:
    """Key material that is current or has been."""

    name: str
    rotated_at: float | None = None
    rotated_by: str | None = None


@dataclass
class RegionalKey:
    """The key in one Region. ``held`` maps the names of its imported material to their expiry."""

    disabled: bool = False
    window: int | None = None
    deletion_at: float | None = None
    held: dict[str, float] = field(default_factory=dict)


class ReferenceKey:
    def __init__(self, spec: str, origin: str, region: str, *, multi_region: bool, now: float) -> None:
        self.spec, self.origin, self.multi_region, self.now = spec, origin, multi_region, now
        self.primary = region
        self.regions = {region: RegionalKey()}
        self.material_history: list[Material] = []
        self.pending: str | None = None
        self.period, self.rotates_at = 0, NEVER
        self.on_demand_rotations = 0
        self.events: list[tuple[str, str, str | None]] = []
        """The service events that CloudTrail records: event name, Region, name of the material."""
        if origin == "AWS_KMS":
            self.material_history.append(Material("generated 1"))

    # --- state

    def state(self, region: str) -> str:
        if region not in self.regions:
            raise Refusal("NotFoundException")
        regional = self.regions[region]
        if regional.window is not None:
            return "PendingReplicaDeletion" if regional.deletion_at is None else "PendingDeletion"
        if not self.has_all_material(regional):
            return IMPORTING
        return DISABLED if regional.disabled else ENABLED

    def has_all_material(self, regional: RegionalKey) -> bool:
        return bool(self.material_history) and all(
            self.has(regional, material.name) for material in self.material_history
        )

    def has(self, regional: RegionalKey, name: str | None) -> bool:
        return name is not None and (self.origin == "AWS_KMS" or regional.held.get(name, 0) > self.now)

    def associates(self, name: str) -> bool:
        return name == self.pending or name in [material.name for material in self.material_history]

    def imported_in_all_regions(self) -> bool:
        return all(self.pending in regional.held for regional in self.regions.values())

    def description(self, region: str) -> Fact:
        state, regional = self.state(region), self.regions[region]
        found: Fact = {"KeyState": state, "Enabled": state == ENABLED}
        if state == "PendingDeletion":
            found["DeletionDate"] = regional.deletion_at
        if state == "PendingReplicaDeletion":
            found["PendingDeletionWindowInDays"] = regional.window
        if self.spec == "SYMMETRIC_DEFAULT" and self.material_history:
            found["CurrentKeyMaterialId"] = self.material_history[-1].name
        expiries = [
            regional.held[material.name]
            for material in self.material_history
            if self.origin == "EXTERNAL" and self.has(regional, material.name)
        ]
        if expiries:
            found |= _expiry(min(expiries))
        if self.multi_region:
            kind = "PRIMARY" if region == self.primary else "REPLICA"
            found["MultiRegionConfiguration"] = (kind, self.primary, sorted(self.regions.keys() - {self.primary}))
        return found

    def rotation_status(self, region: str) -> Fact:
        waits_for_deletion = self.state(region) in {"PendingDeletion", "PendingReplicaDeletion"}
        if self.rotates_at == NEVER or waits_for_deletion:
            return {"KeyRotationEnabled": False}
        return {
            "KeyRotationEnabled": True,
            "RotationPeriodInDays": self.period,
            "NextRotationDate": self.rotates_at,
        }

    def materials(self, region: str) -> list[Fact]:
        """Return the list of ListKeyRotations with ALL_KEY_MATERIAL."""
        regional = self.regions[region]
        listed = [self._listed(regional, material, "NON_CURRENT") for material in self.material_history]
        listed[-1:] = [{**last, "KeyMaterialState": "CURRENT"} for last in listed[-1:]]
        # A primary forgets expired pending material at once; a replica only when the keeper runs.
        expired = region == self.primary and regional.held.get(self.pending or "", NEVER) <= self.now
        if self.pending is not None and not expired:
            state = "PENDING_ROTATION" if self.imported_in_all_regions() else "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
            listed.append(self._listed(regional, Material(self.pending), state))
        return listed

    def _listed(self, regional: RegionalKey, material: Material, state: str) -> Fact:
        found: Fact = {"KeyMaterialId": material.name, "KeyMaterialState": state}
        if material.rotated_by is not None:
            found |= {"RotationDate": material.rotated_at, "RotationType": material.rotated_by}
        if self.origin == "EXTERNAL" and self.has(regional, material.name):
            found |= {"ImportState": "IMPORTED", **_expiry(regional.held[material.name])}
        elif self.origin == "EXTERNAL":
            found["ImportState"] = "PENDING_IMPORT"
        return found

    def due(self) -> list[float]:
        """Return the times of the next deletion, expiries and rotation."""
        ends = [regional.deletion_at or NEVER for regional in self.regions.values()]
        expiries = [when for regional in self.regions.values() for when in regional.held.values()]
        return [when for when in (*ends, *expiries, self.rotates_at) if self.now < when < NEVER]

    # --- calls

    def encrypt(self, region: str) -> None:
        self._require(region, ENABLED)
        if self.spec == "HMAC_256":
            raise Refusal("InvalidKeyUsageException")

    def decrypt(self, region: str, owner: "ReferenceKey") -> None:
        """Decrypt a ciphertext of ``owner`` with this key named in the request."""
        self._require(region, ENABLED)
        if owner is not self:
            raise Refusal("IncorrectKeyException")

    def decrypt_unnamed(self, region: str) -> None:
        """Decrypt a ciphertext of this key that alone names the key."""
        if region not in self.regions:
            raise Refusal("AccessDeniedException")
        self._require(region, ENABLED)

    def make_tag(self, region: str) -> None:
        """Generate a MAC, or verify one of this key."""
        self._require(region, ENABLED)
        if self.spec != "HMAC_256":
            raise Refusal("InvalidKeyUsageException")

    def enable(self, region: str) -> None:
        self._require(region, ENABLED, DISABLED)
        self.regions[region].disabled = False

    def disable(self, region: str) -> None:
        self._require(region, ENABLED, DISABLED)
        self.regions[region].disabled = True

    def schedule_deletion(self, region: str, window: int) -> None:
        self._require(region, ENABLED, DISABLED, IMPORTING)
        waits_for_replicas = region == self.primary and len(self.regions) > 1
        self.regions[region].window = window
        self.regions[region].deletion_at = None if waits_for_replicas else self.now + window * DAY

    def cancel_deletion(self, region: str) -> None:
        self._require(region, "PendingDeletion", "PendingReplicaDeletion", otherwise="KMSInvalidStateException")
        regional = self.regions[region]
        regional.window, regional.deletion_at, regional.disabled = None, None, True
        self._clear_disabled_while_pending_import()

    def enable_rotation(self, region: str, days: int) -> None:
        self._set_rotation(region, days, self.now + days * DAY)

    def disable_rotation(self, region: str) -> None:
        self._set_rotation(region, 0, NEVER)

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
            self.imported_in_all_regions()
            and all(self.has(regional, self.pending) for regional in self.regions.values())
        ):
            raise Refusal("KMSInvalidStateException")
        self.on_demand_rotations += 1
        self._rotate("ON_DEMAND")

    def _rotate(self, rotated_by: str) -> None:
        self.material_history.append(
            Material(self.pending or f"generated {len(self.material_history) + 1}", self.now, rotated_by)
        )
        self.pending = None
        self._clear_disabled_while_pending_import()
        self._synchronized()

    def replicate(self, region: str, other: str) -> None:
        self._require(region, ENABLED)
        if not self.multi_region:
            raise Refusal("UnsupportedOperationException")
        self._require_primary(region)
        if other in self.regions:
            raise Refusal("AlreadyExistsException")
        self.regions[other] = RegionalKey()

    def update_primary(self, region: str, other: str) -> None:
        for each in (region, other):
            if each == region or each in self.regions:
                self._require(each, ENABLED)
        if not self.multi_region or other == region:
            raise Refusal("UnsupportedOperationException")
        self._require_primary(region)
        if other not in self.regions:
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
        expired = self._expired_pending(region)
        is_known = self.associates(name) and name != expired
        if import_type == "NEW_KEY_MATERIAL" or (import_type is None and not self.material_history):
            self._require_primary(region)
            if is_known:
                raise Refusal("IncorrectKeyMaterialException")
            if self.pending is not None and expired is None:
                raise Refusal("KMSInvalidStateException")
            self._forget(region, expired, name)
            self._associate(name, again=name == expired)
        elif is_known:
            self._forget(region, expired, name)
        else:
            raise Refusal("IncorrectKeyMaterialException")
        self.regions[region].held[name] = NEVER if valid_to is None else valid_to

    def _expired_pending(self, region: str) -> str | None:
        """Return the pending material of a primary if it has expired: an import takes it for erased."""
        held = self.regions[region].held
        return self.pending if region == self.primary and held.get(self.pending or "", NEVER) <= self.now else None

    def _forget(self, region: str, expired: str | None, imported: str) -> None:
        """Erase expired pending material; in the replicas too, unless the same is imported again."""
        if expired is None:
            return
        if expired != imported:
            self._remove_material(region, expired)
        self.pending = None
        self.events.append(("DeleteExpiredKeyMaterial", region, expired))

    def _associate(self, name: str, *, again: bool) -> None:
        if self.material_history:
            self.pending = name
        else:
            self.material_history.append(Material(name))
        if not again:
            self._synchronized()

    def delete_material(self, region: str, name: str | None) -> str | None:
        """Delete material, by default the current one; return its name."""
        self.state(region)
        if self.origin != "EXTERNAL":
            raise Refusal("UnsupportedOperationException")
        if name is not None and not self.associates(name):
            raise Refusal("NotFoundException")
        gone = name or (self.material_history[-1].name if self.material_history else None)
        if gone is not None:
            self._remove_material(region, gone)
        return gone

    def _remove_material(self, region: str, name: str) -> None:
        from_all = name == self.pending and region == self.primary
        for regional in self.regions.values() if from_all else [self.regions[region]]:
            regional.held.pop(name, None)
        if from_all:
            self.pending = None
            self._synchronized()
        self._clear_disabled_while_pending_import()

    # --- time and the keeper

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self._clear_disabled_while_pending_import()

    def run_keeper(self) -> None:
        if self.rotates_at <= self.now and self.regions and self.state(self.primary) == ENABLED:
            self._rotate("AUTOMATIC")
            self.rotates_at = self.now + self.period * DAY
            self.events.append(("RotateKey", self.primary, self.material_history[-1].name))
        earliest = {region: min(regional.held.values(), default=NEVER) for region, regional in self.regions.items()}
        for region in sorted(self.regions, key=lambda each: earliest[each]):
            held = self.regions[region].held
            for name in [name for name, until in held.items() if until <= self.now]:
                self._remove_material(region, name)
                self.events.append(("DeleteExpiredKeyMaterial", region, name))
        for region, regional in list(self.regions.items()):
            if regional.deletion_at is not None and regional.deletion_at <= self.now:
                self._delete(region)

    def _delete(self, region: str) -> None:
        del self.regions[region]
        self.events.append(("DeleteKey", region, None))
        primary = self.regions.get(self.primary)
        if primary and primary.window is not None and len(self.regions) == 1:
            primary.deletion_at = self.now + primary.window * DAY

    def _synchronized(self) -> None:
        if len(self.regions) > 1:
            self.events.append(("SynchronizeMultiRegionKey", self.primary, None))

    def _clear_disabled_while_pending_import(self) -> None:
        """Clear ``disabled`` where a key is pending import: once all material is imported again, it is Enabled."""
        for regional in self.regions.values():
            regional.disabled = regional.disabled and (self.has_all_material(regional) or regional.window is not None)

    def _require(self, region: str, *states: str, otherwise: str | None = None) -> None:
        state = self.state(region)
        if state not in states:
            raise Refusal(otherwise or REFUSALS[state])

    def _require_primary(self, region: str) -> None:
        if region != self.primary:
            raise Refusal("UnsupportedOperationException")


def _expiry(until: float) -> Fact:
    if until == NEVER:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": until}
