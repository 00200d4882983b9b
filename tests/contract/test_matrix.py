"""Every operation on keys, in every state, on every kind of key: one documented outcome each, and never a 500.

Keys of every kind are walked through every state they can be in. In each, every operation is called with a request that
fits the key as well as any can, for real or dry, and with misfits of it. The calls go through the whole service, and
then everything they wrote is taken back.
"""

from collections.abc import Iterable, Iterator
from itertools import count

import msgspec
import pytest
from msgspec.structs import replace
from typing_extensions import override

from documented_outcomes import ALGORITHM_OF, USAGE_OF, algorithms_of, documented
from fitting import Asked, Fitting
from kinds import EAST, STATES, USAGES, WEST, KeyMaker, Kind, MadeKey, kinds
from local_deployment import LocalDeployment
from misfits import MODEL, WITHOUT_KEYS, declared, dry, has_dry_run, misfits
from rehearsal import outcome, rehearsing
from strongroom.clock import ManualClock

ON_KEYS = sorted(set(MODEL.operation_names) - WITHOUT_KEYS)
DRY = [name for name in ON_KEYS if has_dry_run(name)]
DRY_RUN = "DryRunOperationException: The request would have succeeded, but the DryRun option is set."


class Cell(msgspec.Struct, frozen=True):
    """One call: what was asked of which kind of key in which state, and what came of it, for real and dry."""

    kind: Kind
    state: str
    asked: Asked
    outcome: str
    dry_outcome: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.asked} on {self.kind}, {self.state}: {self.outcome} / {self.dry_outcome} {self.asked.request}"


class Walk:
    """All cells: of fitting requests, and of misfits.

    ``dry_changes``: where a fitting dry run changed anything. ``enabled``: the single-Region keys, as they are
    afterwards, with their fitting requests.
    """

    def __init__(self, local: LocalDeployment) -> None:
        self._bench = local
        self._maker = KeyMaker(local)
        self._turn = count()
        self._last_change = 0
        self.dry_changes: list[str] = []
        fitting = Fitting(self._maker)
        self.fitting: list[Cell] = []
        self.misfits: list[Cell] = []
        self.enabled: list[tuple[MadeKey, list[Asked]]] = []
        for kind in kinds():
            made = self._maker.make(kind)
            requests = fitting.requests(made)
            if kind.family == "single":
                self.enabled.append((made, requests))
            for state in kind.states():
                with self._maker.in_state(made, state):
                    self._visit(made, state, requests)

    def _visit(self, made: MadeKey, state: str, requests: list[Asked]) -> None:
        before = self._last_change = self._changes_until()
        dried = {str(asked): self._outcome(made, dry(asked)) for asked in requests if has_dry_run(asked.operation)}
        after = self._changes_until()
        if after != before:
            self.dry_changes.append(f"{made.kind}, {state}")
        with rehearsing(self._bench):
            for asked in requests:
                came = self._outcome(made, asked)
                self.fitting.append(Cell(made.kind, state, asked, came, dried.get(str(asked), "")))
            for asked in self._some_misfits(made.kind, state, requests):
                dried_misfit = self._outcome(made, dry(asked)) if has_dry_run(asked.operation) else ""
                self.misfits.append(Cell(made.kind, state, asked, self._outcome(made, asked), dried_misfit))
        assert self._changes_until() == after

    def _some_misfits(self, kind: Kind, state: str, requests: Iterable[Asked]) -> Iterator[Asked]:
        """Yield every misfit to enabled keys that are alone; to others one of each request, by turns."""
        whole = (state, kind.family) == ("Enabled", "single") and (kind.origin == "AWS_KMS" or kind.symmetric)
        for asked in requests:
            found = list(misfits(asked))
            if whole:
                yield from found
            else:
                yield found[next(self._turn) % len(found)]

    def _outcome(self, made: MadeKey, asked: Asked) -> str:
        came = outcome(self._bench, asked)
        return came.replace(made.arn, "<arn>").replace(made.arn.replace(EAST, WEST), f"<arn in {WEST}>")

    def _changes_until(self) -> int:
        """Return the end of the change log, which tells of every write."""
        return self._bench.deployment.backends.store.changes(self._last_change).last

    def rehearse(self, made: MadeKey, asked: Asked) -> str:
        """Make one more call that changes nothing."""
        with rehearsing(self._bench):
            return self._outcome(made, asked)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(LocalDeployment(tmp_path_factory.mktemp("matrix") / "data", ManualClock(1_790_000_000.0)))


SLOW = {("RSA_3072", "ENCRYPT_DECRYPT"), ("RSA_4096", "ENCRYPT_DECRYPT")}
"""Neither imported nor related here, for the time that takes."""


def test_the_walk_visits_every_state_of_every_kind(walk: Walk) -> None:
    visited = {(cell.kind.spec, cell.kind.usage, cell.state) for cell in walk.fitting}
    assert visited == {
        (spec, usage, state)
        for spec, usages in USAGES.items()
        for usage in usages
        for state in STATES
        # Only imported material can be missing.
        if state != "PendingImport" or not spec.startswith("ML_")
        if (spec, usage) not in SLOW or state not in {"PendingImport", "PendingReplicaDeletion"}
    }


@pytest.mark.parametrize("operation", ON_KEYS)
def test_a_fitting_request_has_its_documented_outcome(walk: Walk, operation: str) -> None:
    cells = [cell for cell in walk.fitting if cell.asked.operation == operation]
    assert len(cells) >= len({(cell.kind, cell.state) for cell in walk.fitting})
    wrong = [
        f"{cell}, not {expected}"
        for cell in cells
        if cell.outcome != (expected := documented(cell.asked, cell.kind, cell.state))
    ]
    assert wrong == []


@pytest.mark.parametrize("operation", DRY)
def test_a_dry_run_says_what_would_have_come_of_the_call(walk: Walk, operation: str) -> None:
    cells = [cell for cell in (*walk.fitting, *walk.misfits) if cell.asked.operation == operation]
    assert any(cell.outcome == "ok" for cell in cells)
    wrong = [str(cell) for cell in cells if cell.dry_outcome != (DRY_RUN if cell.outcome == "ok" else cell.outcome)]
    assert wrong == []


def test_a_dry_run_changes_nothing(walk: Walk) -> None:
    assert walk.dry_changes == []


# AWS's model does not declare these, and has nothing else for them.
UNDECLARED = {
    ("DescribeKey", "InvalidGrantTokenException"),
    ("ListKeyPolicies", "InvalidMarkerException"),
    # A malformed ARN: declared by management operations alone.
    *((name, "InvalidArnException") for name in DRY if name not in {"CreateGrant", "RetireGrant", "RevokeGrant"}),
    *(("CreateAlias", "InvalidArnException"), ("UpdateAlias", "InvalidArnException")),
}


@pytest.mark.parametrize("operation", ON_KEYS)
def test_a_misfit_is_refused_as_the_operation_declares_or_does_no_harm(walk: Walk, operation: str) -> None:
    cells = [cell for cell in walk.misfits if cell.asked.operation == operation]
    allowed = {"ok", *declared(operation)} | {code for name, code in UNDECLARED if name == operation}
    assert [str(cell) for cell in cells if cell.outcome.partition(":")[0] not in allowed] == []
    empty = {cell.outcome for cell in cells if not cell.asked.request}
    required = MODEL.operation_model(operation).input_shape.required_members
    assert len(empty) == 1
    assert all(f"Value null at '{name[:1].lower()}{name[1:]}' failed" in next(iter(empty)) for name in required)


@pytest.mark.parametrize(("operation", "member"), ALGORITHM_OF.items())
def test_algorithms_that_a_spec_does_not_have_are_refused_by_name(walk: Walk, operation: str, member: str) -> None:
    shape = MODEL.operation_model(operation).input_shape.members[member]
    tried = 0
    for made, requests in walk.enabled:
        asked = next(each for each in requests if each.operation == operation)
        if made.kind.usage != USAGE_OF[operation]:
            continue
        for algorithm in shape.enum:
            came = walk.rehearse(made, replace(asked, request={**asked.request, member: algorithm}))
            refusal = f"InvalidKeyUsageException: Algorithm {algorithm} is incompatible with key spec {made.kind.spec}."
            assert (came == refusal) == (algorithm not in algorithms_of(made.kind)), (made, algorithm, came)
            tried += 1
    assert tried >= len(shape.enum)
