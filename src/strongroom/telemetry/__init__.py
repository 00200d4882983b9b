"""What operators observe of a running server: metrics, access log, traces and log lines.

``metrics`` collects counters when they are scraped, ``metrics_listener`` serves them. ``access_log`` and ``tracing``
are observers of answered calls (``answered_call``). ``logs`` formats log lines, ``log_queue`` writes them on a thread.
A call never waits for any of these.
"""
