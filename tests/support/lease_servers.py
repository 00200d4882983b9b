"""The database in the model of ``lease_world``: servers that execute the requests of the protocol step by step."""

from collections.abc import Generator

import msgspec

from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.leases.requests import (
    Acknowledge,
    FindMember,
    FoundChanges,
    Join,
    Leave,
    Member,
    ReadChanges,
    Renew,
    Reply,
    Request,
)

KEY = "key"
OTHER = "other"

Flight = Generator[None, None, Reply]
"""A statement on its way: each step is its snapshot, its effect, or its reply. One without a reply never ends."""


class Server:
    """A database server. One that ``confirms_always`` confirms renewals also when it is not the primary any more."""

    def __init__(self, *, confirms_always: bool = False) -> None:
        self._confirms_always = confirms_always
        self.changes: list[TaggedChange] = [TaggedChange(1, b"%08d" % 1, "key", "1", "r", OTHER)]
        self.members: dict[str, Member] = {}
        self.is_primary = True

    @property
    def generation(self) -> Generation:
        newest = self.changes[-1]
        return Generation(newest.sequence, newest.tag)

    def standby(self) -> "Server":
        """Return what is promoted: it has every durable commit. Acknowledgements may be lost."""
        copy = Server(confirms_always=self._confirms_always)
        copy.changes = list(self.changes)
        copy.members = dict(self.members)
        return copy

    def commit(self, name: str) -> int:
        number = self.generation.number + 1
        self.changes.append(TaggedChange(number, b"%08d" % number, "key", "1", "r", name))
        return number

    def value(self, name: str) -> int:
        """Return the number of the last change of a thing."""
        return max((each.sequence for each in self.changes if each.name == name), default=0)

    def execute(self, request: Request) -> Flight:
        """Execute a statement; it ends with its reply."""
        yield
        match request:
            case FindMember(node):
                return self.members.get(node)
            case ReadChanges(since):
                return FoundChanges(self.generation, [each for each in self.changes if each.sequence >= since])
            case Leave():
                if self.is_primary and self._row(request) is not None:
                    del self.members[request.node]
                return None
            case _:
                return (yield from self._change(request))

    def _change(self, request: Acknowledge | Renew | Join) -> Flight:
        match request:
            case Acknowledge():
                return (yield from self._acknowledge(request))
            case Renew():
                return (yield from self._renew(request))
            case Join():
                return (yield from self._join(request))

    def _row(self, request: Acknowledge | Renew | Leave) -> Member | None:
        found = self.members.get(request.node)
        return found if found is not None and found.incarnation == request.incarnation else None

    def _acknowledge(self, request: Acknowledge) -> Flight:
        found = self._row(request)
        if found is None or self.generation.number < request.number:
            return False
        self.members[request.node] = msgspec.structs.replace(found, acked=max(found.acked, request.number))
        yield
        return True

    def _renew(self, request: Renew) -> Flight:
        generation = self.generation
        yield
        found = self._row(request)
        if found is None:
            return None
        while not self.is_primary and not self._confirms_always:
            yield
        self.members[request.node] = msgspec.structs.replace(found, renewed=found.renewed + 1)
        yield
        return generation

    def _join(self, request: Join) -> Flight:
        found = self.members.get(request.node)
        old = request.replaces
        if (found and (found.incarnation, found.renewed)) != (old and (old.incarnation, old.renewed)):
            return False
        while not self.is_primary:
            yield
        self.members[request.node] = Member(request.node, request.incarnation, 0, 0, request.lease)
        yield
        return True
