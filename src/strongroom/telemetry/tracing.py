"""OpenTelemetry traces: a span for each call with child spans for its phases, exported by a thread of the library.

Spans are made after the answer, from times that were noted during the call, so a call has no tracing state. Spans that
cannot be sent are dropped: the library queues only so many.

Needs the extra ``otel``. Sources: OpenTelemetry, "Semantic conventions for RPC spans", "AWS SDK"; W3C Trace Context.
"""

import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from strongroom import __version__
from strongroom.clock import Clock
from strongroom.errors import KMSInternalException
from strongroom.service.counters import SUCCESS
from strongroom.telemetry.answered_call import AnsweredCall

_SERVICES = {"kms": "KMS", "iam": "IAM", "sts": "STS"}
_EXPORT_TIME = 5.0
_NANOSECONDS = 1_000_000_000


class Tracing:
    """Makes spans of calls and exports them to an OTLP/HTTP receiver. Closing it exports the queued spans."""

    def __init__(self, url: str, worker: str, clock: Clock) -> None:
        self._clock = clock
        resource = Resource.create(
            {"service.name": "strongroom", "service.version": __version__, "service.instance.id": worker}
        )
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override these values.
        resource = resource.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(url, timeout=_EXPORT_TIME)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("strongroom", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def answered(self, call: AnsweredCall) -> None:
        """Make the spans of a call."""
        request, name = call.request, call.operation.name
        # The timer has an arbitrary origin; spans have the time of day.
        timer_zero = self._clock.now() - self._clock.timer()

        def at(timer: float) -> int:
            return int((timer_zero + timer) * _NANOSECONDS)

        service = _SERVICES[call.operation.service]
        span = self._tracer.start_span(
            f"{service}/{name}",
            self._propagator.extract(request.headers),
            SpanKind.SERVER,
            {
                "rpc.system": "aws-api",
                "rpc.service": service,
                "rpc.method": name,
                "aws.request_id": call.request_id,
            },
            start_time=at(request.received_at),
        )
        if span.is_recording():
            if call.outcome != SUCCESS:
                span.set_attribute("error.type", call.outcome)
            if call.status >= KMSInternalException.status:
                span.set_status(Status(StatusCode.ERROR))
            context = set_span_in_context(span)
            for part, start, end in (
                ("perform", request.started_at, request.finished_at),
                ("audit flush", call.flush_started_at, call.flushed_at),
            ):
                if end:
                    self._tracer.start_span(part, context, start_time=at(start)).end(at(end))
        span.end(at(call.flushed_at))

    def close(self) -> None:
        """Send the spans that are queued; drop those that cannot be sent within five seconds."""
        patience = threading.Timer(_EXPORT_TIME, self._exporter.shutdown)
        patience.start()
        try:
            self._provider.shutdown()
        finally:
            patience.cancel()
