"""Objects in the hardware token that no domain key and no seal of this deployment has.

Some were announced (``assembly.announced_objects``): the keeper destroys them. The others were left by a first start or
a change of seals that was interrupted, or by an older release; or they belong to another deployment: that whose backup
was restored here, or one that was restored from a backup of this one. The token does not tell these apart, so an
operator names what is to be destroyed.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.protections import object_id_of
from strongroom.assembly.restored_objects import shared_objects, why_shared
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.crypto.pkcs11.wrapping import destroy_wrapping_key, made_at, wrapping_keys_in
from strongroom.crypto.seals.document import SealKind
from strongroom.store.subjects.destructions import COMMIT_TIME, Destruction, ErasedDomainKey


class OtherObject(msgspec.Struct, frozen=True):
    """An object with a label of ours that no domain key and no seal has.

    ``made_at`` is None if its label does not say it, as those of older releases. The keeper destroys it after
    ``destroyed_after``, unless that is None. Times are epoch seconds. If it is ``shared``, another deployment may need
    it, and no command here destroys it (``restored_objects``).
    """

    object_id: str
    label: str
    made_at: float | None
    destroyed_after: float | None
    shared: bool


def keys_of_seals(opened: OpenFolder) -> Mapping[bytes, str]:
    """Return the objects that seals have in a token, with the names of the seals."""
    seals = opened.seals.status().seals
    return {bytes.fromhex(str(each.parameters["object"])): each.name for each in seals if each.kind is SealKind.PKCS11}


def destructions_of_objects(opened: OpenFolder) -> Mapping[bytes, Destruction]:
    """Return what the keeper is to destroy of domain keys, by the ids of the objects."""
    with opened.store.read() as reader:
        found = reader.object_destructions()
    return {
        bytes.fromhex(each.erased.object_id): each
        for each in found
        if isinstance(each.erased, ErasedDomainKey) and not each.erased.shared
    }


def other_objects(
    there: Mapping[bytes, str],
    named: Collection[bytes],
    destructions: Mapping[bytes, Destruction],
    shared: Collection[bytes],
) -> list[OtherObject]:
    """Return those of the objects in a token, with their labels, that are not ``named``, by label."""
    return [
        OtherObject(
            each.hex(),
            label,
            made_at(label),
            destroyed_after=destructions[each].due_at if each in destructions else None,
            shared=each in shared,
        )
        for each, label in sorted(there.items(), key=lambda item: (item[1], item[0]))
        if each not in named
    ]


class TokenObjects:
    """The objects in the token of an open folder, whose domain keys of all Regions must be opened."""

    def __init__(self, opened: OpenFolder, now: float) -> None:
        self._opened = opened
        self._now = now

    def destroy(self, ids: Sequence[str], older_than: float, *, dry_run: bool = False) -> list[OtherObject]:
        """Destroy objects that no domain key and no seal has, by their ids in hex; return them.

        What was announced and not committed is destroyed too once it is due: only a server that opens the Region's
        domain keys would do it, and there may be none any more.

        They must have been made at least ``older_than`` seconds ago. Before the first is destroyed, that is recorded.
        With ``dry_run``, it only returns them. Raises DataFolderError, and destroys none, if one must not be
        destroyed; and as ``Token.run``.
        """
        opened = self._opened
        serial = opened.token.require().name.serial
        # No other command of this node makes or stores a domain key or a seal meanwhile.
        with opened.trail.changing():
            # In this order: what is in the token was announced before, and what is announced no more was committed.
            there = wrapping_keys_in(opened.token)
            noted = destructions_of_objects(opened)
            opened.unsealed_keys.reread()
            found = self._chosen(ids, older_than, there, noted)
            if not dry_run:
                details = {"token": serial, "objects": {each.object_id: each.label for each in found}}
                event = OperatorEvent(
                    name="DestroyTokenObject", command="hsm destroy", source=KEY_SOURCE, details=details
                )
                with opened.trail.recording(event):
                    for each in found:
                        self._destroy(bytes.fromhex(each.object_id), noted)
        return found

    def _destroy(self, object_id: bytes, noted: Mapping[bytes, Destruction]) -> None:
        before, store = noted.get(object_id), self._opened.store
        if before is not None:
            after = replace(before, due_at=self._now + COMMIT_TIME)
            # First: a process that is slow must not give the object to a domain key any more.
            if not store.write(lambda transaction: transaction.defer_destruction(before, after)):
                raise DataFolderError(f"the object {object_id.hex()} was not left alone meanwhile; run this again")
        destroy_wrapping_key(self._opened.token, object_id)
        if before is not None:
            store.write(lambda transaction: transaction.remove_destruction(before.erased))

    def _chosen(
        self, ids: Sequence[str], older_than: float, there: Mapping[bytes, str], noted: Mapping[bytes, Destruction]
    ) -> list[OtherObject]:
        opened = self._opened
        domain_keys = {object_id_of(each) for each in opened.unsealed_keys.in_token}
        seals = keys_of_seals(opened)
        shared = shared_objects(opened.folder, opened.store)
        others = other_objects(there, {*domain_keys, *seals}, noted, shared)
        by_id = {each.object_id: each for each in others}
        for each in map(str.lower, ids):
            if each not in by_id:
                raise DataFolderError(_in_use_or_absent(each, domain_keys, seals))
            if by_id[each].shared:
                raise DataFolderError(f"the object {each} stays in the token: {why_shared(opened.folder)}")
            self._require_old(by_id[each], older_than, noted.get(bytes.fromhex(each)))
        return [by_id[each] for each in dict.fromkeys(map(str.lower, ids))]

    def _require_old(self, found: OtherObject, older_than: float, noted: Destruction | None) -> None:
        """Refuse an object that another process may be about to use; raises DataFolderError."""
        named = f"the object {found.object_id} ({found.label})"
        if noted is not None and not (noted.erased.uncommitted and noted.due_at <= self._now):
            raise DataFolderError(
                f"{named} is not for this command: a server destroys it after {event_time(noted.due_at)}, "
                "unless it is given to a domain key before"
            )
        if not older_than:
            return
        if found.made_at is None:
            raise DataFolderError(
                f"the label of {named} does not say when it was made; if you know that it is old, give --older-than 0s"
            )
        if found.made_at > self._now - older_than:
            raise DataFolderError(
                f"{named} was made at {event_time(found.made_at)}, so a server that starts now may be about to use it; "
                "wait, or give a shorter --older-than"
            )


def _in_use_or_absent(object_id: str, domain_keys: Collection[bytes], seals: Mapping[bytes, str]) -> str:
    """Return why an object is not one that may be destroyed."""
    try:
        key = bytes.fromhex(object_id)
    except ValueError:
        return f"{object_id!a} is no id of an object: `strongroom hsm status` shows them, in hex"
    if key in domain_keys:
        return f"the object {object_id} belongs to a domain key that is in use"
    if key in seals:
        return f"the object {object_id} is the key of the seal {seals[key]!a}; see: strongroom seal remove"
    return f"the token has no object {object_id} with a label of Strongroom's; see: strongroom hsm status"
