"""Which fault happens to which call."""

from typing import Any, cast

import pytest

from direct_client import DirectClient
from local_deployment import LocalDeployment
from strongroom.api.gateway import Admitted
from strongroom.clock import ManualClock
from strongroom.development.faults import MOST_FAULTS, Fault, FaultError, Faults
from strongroom.errors import ThrottlingException
from strongroom.service.call import Call

MOST_DELAYED = 3


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> DirectClient:
    return DirectClient(LocalDeployment(tmp_path_factory.mktemp("faults") / "data", ManualClock(1_790_000_000.0)))


@pytest.fixture
def faults() -> Faults:
    return Faults(MOST_DELAYED)


@pytest.fixture
def call(direct: DirectClient) -> Call:
    return called(direct, "ListKeys")


def called(direct: DirectClient, operation: str) -> Call:
    admitted = direct.gateway.admit(direct.kms_request(direct.profile(), operation, {}, {}))
    assert isinstance(admitted, Admitted)
    return admitted.call


def test_it_happens_as_often_as_it_was_asked_for(faults: Faults, call: Call) -> None:
    faults.inject(Fault(operation="ListKeys", error="ThrottlingException", times=2))
    assert [faults.take(call) is not None for _ in range(3)] == [True, True, False]
    assert faults.all() == []


def test_it_happens_until_it_is_cleared(faults: Faults, call: Call) -> None:
    faults.inject(Fault(operation="ListKeys", error="ThrottlingException"))
    assert all(faults.take(call) for _ in range(20))
    faults.clear()
    assert faults.take(call) is None


def test_it_happens_to_its_operation_and_account_alone(faults: Faults, direct: DirectClient, call: Call) -> None:
    faults.inject(Fault(operation="ListKeys", error="ThrottlingException", account="999999999999"))
    faults.inject(Fault(operation="ListAliases", error="ThrottlingException"))
    assert faults.take(call) is None
    assert faults.take(called(direct, "ListAliases")) is not None
    faults.clear("999999999999")
    assert [each.fault.operation for each in faults.all()] == ["ListAliases"]


def test_several_happen_one_after_the_other(faults: Faults, call: Call) -> None:
    faults.inject(Fault(operation="ListKeys", delay=1, times=1))
    faults.inject(Fault(operation="ListKeys", error="KMSInternalException", times=1))
    assert faults.delays(call)
    first = faults.take(call)
    assert first is not None
    assert (first.delay, first.faulty) == (1, None)
    assert not faults.delays(call)
    second = faults.take(call)
    assert second is not None
    assert second.faulty is not None


def test_few_calls_are_delayed_at_once(faults: Faults, call: Call) -> None:
    faults.inject(Fault(operation="ListKeys", delay=300))
    delayed = [faults.take(call) for _ in range(MOST_DELAYED)]
    further = faults.take(call)
    assert further is not None
    assert further.delay == 0
    assert further.faulty is not None
    with pytest.raises(ThrottlingException) as refusal:
        further.faulty.locate(cast("Any", None), None)
    assert "delays 3 calls at once at most" in str(refusal.value.message)
    faults.clear()
    for effect in delayed:
        assert effect is not None
        faults.wait(effect)
    faults.inject(Fault(operation="ListKeys", delay=300))
    again = faults.take(call)
    assert again is not None
    assert again.delay == 300


def test_what_is_in_force_counts_down(faults: Faults, call: Call) -> None:
    made = faults.inject(Fault(operation="ListKeys", error="ThrottlingException", times=3))
    faults.take(call)
    (left,) = faults.all()
    assert (left.id, left.fault.times) == (made.id, 2)


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("account", [None, "000000000000"])
def test_a_delay_ends_when_its_fault_is_cleared(
    faults: Faults, call: Call, times: int | None, account: str | None
) -> None:
    faults.inject(Fault(operation="ListKeys", delay=300, times=times, account=account))
    effect = faults.take(call)
    assert effect is not None
    faults.clear("999999999999")
    assert not effect.cleared.is_set()
    faults.clear(account)
    faults.wait(effect)
    assert faults.take(call) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            Fault(operation="Encrip", error="ThrottlingException"),
            "'Encrip' is no operation of this server; did you mean E",
        ),
        (
            Fault(operation="Encrypt", error="Throttling"),
            "'Throttling' is no error of this server; did you mean Throttl",
        ),
        (Fault(operation="Encrypt"), "an `error`, a `delay`, or both"),
        (Fault(operation="Encrypt", delay=301), "at most 300 seconds"),
        (Fault(operation="Encrypt", delay=-1), "at most 300 seconds"),
        (Fault(operation="Encrypt", delay=float("nan")), "at most 300 seconds"),
        (Fault(operation="Encrypt", delay=1, times=0), "`times` is from 1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(faults: Faults, fault: Fault, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        faults.inject(fault)
    assert faults.all() == []


def test_their_number_is_bounded(faults: Faults) -> None:
    for _ in range(MOST_FAULTS):
        faults.inject(Fault(operation="Encrypt", delay=1))
    with pytest.raises(FaultError, match="clear them first"):
        faults.inject(Fault(operation="Encrypt", delay=1))


@pytest.mark.parametrize("operation", ["CreateUser", "AssumeRole", "Sign"])
def test_the_operations_of_every_service_can_fail(faults: Faults, operation: str) -> None:
    assert faults.inject(Fault(operation=operation, error="DryRunOperationException")).fault.operation == operation
