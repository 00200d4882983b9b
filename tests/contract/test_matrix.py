"""Every operation on keys, in every key state, on every kind of key: the documented outcome, and never an error 500.

Keys of every kind are put into every key state they can have. In each state, every operation is called with a valid
request, with and without DryRun, and with mutations of it. The calls go through the whole service, and everything they
write is rolled back.
"""

from collections.abc import Iterable, Iterator
from itertools import count

import msgspec
import pytest
from msgspec.structs import replace
from typing_extensions import override

from documented_outcomes import ALGORITHM_OF, USAGE_OF, algorithms_of, documented
from key_kinds import EAST, STATES, USAGES, WEST, KeyKind, KeyMaker, MadeKey, all_key_kinds
from local_deployment import LocalDeployment
from request_mutations import MODEL, WITHOUT_KEYS, as_dry_run, declared_errors, has_dry_run, mutations
from rolled_back_calls import outcome, rolling_back
from strongroom.clock import ManualClock
from valid_requests import RequestCase, ValidRequests

ON_KEYS = sorted(set(MODEL.operation_names) - WITHOUT_KEYS)
DRY = [name for name in ON_KEYS if has_dry_run(name)]
DRY_RUN = "DryRunOperationException: The request would have succeeded, but the DryRun option is set."


class Cell(msgspec.Struct, frozen=True):
    """One call: the kind and state of the key, the request, and its outcome without and with DryRun."""

    kind: KeyKind
    state: str
    asked: RequestCase
    outcome: str
    dry_outcome: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.asked} on {self.kind}, {self.state}: {self.outcome} / {self.dry_outcome} {self.asked.request}"


class Matrix:
    """All cells: those of valid requests, and those of mutations.

    ``dry_changes``: keys and states in which a valid dry run changed anything. ``enabled``: the single-Region keys,
    which are enabled again, with their valid requests.
    """

    def __init__(self, local: LocalDeployment) -> None:
        self._deployment = local
        self._maker = KeyMaker(local)
        self._turn = count()
        self._last_change = 0
        self.dry_changes: list[str] = []
        valid_requests = ValidRequests(self._maker)
        self.valid: list[Cell] = []
        self.mutated: list[Cell] = []
        self.enabled: list[tuple[MadeKey, list[RequestCase]]] = []
        for kind in all_key_kinds():
            made = self._maker.make(kind)
            requests = valid_requests.requests(made)
            if kind.family == "single":
                self.enabled.append((made, requests))
            for state in kind.states():
                with self._maker.in_state(made, state):
                    self._test_state(made, state, requests)

    def _test_state(self, made: MadeKey, state: str, requests: list[RequestCase]) -> None:
        before = self._last_change = self._changes_until()
        dry_results = {
            str(asked): self._outcome(made, as_dry_run(asked)) for asked in requests if has_dry_run(asked.operation)
        }
        after = self._changes_until()
        if after != before:
            self.dry_changes.append(f"{made.kind}, {state}")
        with rolling_back(self._deployment):
            for asked in requests:
                result = self._outcome(made, asked)
                self.valid.append(Cell(made.kind, state, asked, result, dry_results.get(str(asked), "")))
            for asked in self._some_mutations(made.kind, state, requests):
                dry_result = self._outcome(made, as_dry_run(asked)) if has_dry_run(asked.operation) else ""
                self.mutated.append(Cell(made.kind, state, asked, self._outcome(made, asked), dry_result))
        assert self._changes_until() == after

    def _some_mutations(self, kind: KeyKind, state: str, requests: Iterable[RequestCase]) -> Iterator[RequestCase]:
        """Yield every mutation for enabled single-Region keys; for other keys one of each request, in turn."""
        whole = (state, kind.family) == ("Enabled", "single") and (kind.origin == "AWS_KMS" or kind.symmetric)
        for asked in requests:
            found = list(mutations(asked))
            if whole:
                yield from found
            else:
                yield found[next(self._turn) % len(found)]

    def _outcome(self, made: MadeKey, asked: RequestCase) -> str:
        result = outcome(self._deployment, asked)
        return result.replace(made.arn, "<arn>").replace(made.arn.replace(EAST, WEST), f"<arn in {WEST}>")

    def _changes_until(self) -> int:
        """Return the last entry of the change log, which has every write."""
        return self._deployment.deployment.backends.store.changes(self._last_change).last

    def rolled_back_outcome(self, made: MadeKey, asked: RequestCase) -> str:
        """Make one more call, and roll it back."""
        with rolling_back(self._deployment):
            return self._outcome(made, asked)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(LocalDeployment(tmp_path_factory.mktemp("matrix") / "data", ManualClock(1_790_000_000.0)))


SLOW = {("RSA_3072", "ENCRYPT_DECRYPT"), ("RSA_4096", "ENCRYPT_DECRYPT")}
"""Specs and usages whose imported and multi-Region keys are not tested, to save time."""


def test_the_matrix_has_every_state_of_every_kind(matrix: Matrix) -> None:
    tested = {(cell.kind.spec, cell.kind.usage, cell.state) for cell in matrix.valid}
    assert tested == {
        (spec, usage, state)
        for spec, usages in USAGES.items()
        for usage in usages
        for state in STATES
        # Only keys with imported material are pending import.
        if state != "PendingImport" or not spec.startswith("ML_")
        if (spec, usage) not in SLOW or state not in {"PendingImport", "PendingReplicaDeletion"}
    }


@pytest.mark.parametrize("operation", ON_KEYS)
def test_a_valid_request_has_its_documented_outcome(matrix: Matrix, operation: str) -> None:
    cells = [cell for cell in matrix.valid if cell.asked.operation == operation]
    assert len(cells) >= len({(cell.kind, cell.state) for cell in matrix.valid})
    wrong = [
        f"{cell}, not {expected}"
        for cell in cells
        if cell.outcome != (expected := documented(cell.asked, cell.kind, cell.state))
    ]
    assert wrong == []


@pytest.mark.parametrize("operation", DRY)
def test_a_dry_run_has_the_outcome_of_the_call(matrix: Matrix, operation: str) -> None:
    cells = [cell for cell in (*matrix.valid, *matrix.mutated) if cell.asked.operation == operation]
    assert any(cell.outcome == "ok" for cell in cells)
    wrong = [
        str(cell)
        for cell in cells
        if cell.dry_outcome != (DRY_RUN if cell.outcome == "ok" else cell.outcome) and not is_key_missing(cell)
    ]
    assert wrong == []


def is_key_missing(cell: Cell) -> bool:
    """Tell whether a dry run of the request would ignore the ciphertext, which may name the key of the call itself."""
    key_id = {"Decrypt": "KeyId", "ReEncrypt": "SourceKeyId"}.get(cell.asked.operation)
    return key_id not in cell.asked.request and bool(cell.asked.request.get("DryRunModifiers"))


@pytest.mark.parametrize("operation", ["Decrypt", "ReEncrypt"])
def test_a_dry_run_that_ignores_the_ciphertext_needs_the_key(matrix: Matrix, operation: str) -> None:
    cells = [cell for cell in matrix.mutated if cell.asked.operation == operation and is_key_missing(cell)]
    assert any(cell.outcome == "ok" for cell in cells)
    assert [
        str(cell) for cell in cells if not cell.dry_outcome.startswith(("ValidationException", "Dis", "KMSInv"))
    ] == []


def test_a_dry_run_changes_nothing(matrix: Matrix) -> None:
    assert matrix.dry_changes == []


# AWS's model does not declare these errors, and declares no others for the same mistakes.
UNDECLARED = {
    ("DescribeKey", "InvalidGrantTokenException"),
    ("ListKeyPolicies", "InvalidMarkerException"),
    # A malformed ARN: only management operations declare it.
    *((name, "InvalidArnException") for name in DRY if name not in {"CreateGrant", "RetireGrant", "RevokeGrant"}),
    *(("CreateAlias", "InvalidArnException"), ("UpdateAlias", "InvalidArnException")),
}


@pytest.mark.parametrize("operation", ON_KEYS)
def test_a_mutation_succeeds_or_fails_with_a_declared_error(matrix: Matrix, operation: str) -> None:
    cells = [cell for cell in matrix.mutated if cell.asked.operation == operation]
    allowed = {"ok", *declared_errors(operation)} | {code for name, code in UNDECLARED if name == operation}
    assert [str(cell) for cell in cells if cell.outcome.partition(":")[0] not in allowed] == []
    empty = {cell.outcome for cell in cells if not cell.asked.request}
    required = MODEL.operation_model(operation).input_shape.required_members
    assert len(empty) == 1
    assert all(f"Value null at '{name[:1].lower()}{name[1:]}' failed" in next(iter(empty)) for name in required)


@pytest.mark.parametrize(("operation", "member"), ALGORITHM_OF.items())
def test_algorithms_that_a_spec_does_not_have_are_refused_by_name(matrix: Matrix, operation: str, member: str) -> None:
    shape = MODEL.operation_model(operation).input_shape.members[member]
    tried = 0
    for made, requests in matrix.enabled:
        asked = next(each for each in requests if each.operation == operation)
        if made.kind.usage != USAGE_OF[operation]:
            continue
        for algorithm in shape.enum:
            result = matrix.rolled_back_outcome(made, replace(asked, request={**asked.request, member: algorithm}))
            refusal = f"InvalidKeyUsageException: Algorithm {algorithm} is incompatible with key spec {made.kind.spec}."
            assert (result == refusal) == (algorithm not in algorithms_of(made.kind)), (made, algorithm, result)
            tried += 1
    assert tried >= len(shape.enum)
