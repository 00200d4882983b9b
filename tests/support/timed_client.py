"""A client that notes when each of its calls began, how long it took, and whether it was refused."""

import time
from typing import Any

import msgspec
from typing_extensions import override

from fast_client import CallRefused, FastClient, NoAnswer
from local_server import RunningServer

_PAUSE_AFTER_A_REFUSAL = 0.05
"""Seconds. The AWS SDKs pause before they try again, too."""


class Sample(msgspec.Struct, array_like=True):
    """One call. ``begun`` is monotonic time in nanoseconds, the same in all processes of a machine."""

    operation: str
    begun: int
    ended: int
    refused: str = ""
    """The code of the error; empty for success."""
    request_id: str = ""
    alias: str = ""
    key_id: str | None = None
    """The alias that it was to point to a key; to none, if it was to be deleted."""

    @property
    def milliseconds(self) -> float:
        return (self.ended - self.begun) / 1e6


class TimedClient(FastClient):
    """Notes its calls in ``samples``. After each it pauses for ``pause`` seconds, as a client with other work."""

    def __init__(self, server: RunningServer, pause: float = 0.0) -> None:
        super().__init__(server)
        self.samples: list[Sample] = []
        self._pause = pause

    @override
    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call KMS; raises CallRefused and NoAnswer."""
        sample = Sample(operation, time.monotonic_ns(), 0)
        try:
            return super().__call__(operation, **request)
        except NoAnswer:
            sample.refused = "no answer"
            raise
        except CallRefused as error:
            sample.refused = error.code
            raise
        finally:
            sample.ended = time.monotonic_ns()
            sample.request_id = self.request_id
            self.samples.append(sample)
            time.sleep(_PAUSE_AFTER_A_REFUSAL if sample.refused else self._pause)
