"""The server: one event loop that takes requests through the pipeline turn by turn, and the threads behind it.

``turn_queue`` collects requests, ``dispatcher`` takes them through admission and the pipeline, ``lane_threads`` run
what may wait, and ``reply_queue`` sends replies when the audit log is flushed. ``lane_limits`` and ``refusals`` are the
load shedding, ``tls`` has the certificates, and ``readiness_probe`` answers health checks off the event loop. What a
call does is decided in ``service`` and ``operations``.
"""
