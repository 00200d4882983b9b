"""Performs calls: the pipeline that authorizes, runs and records them, and what it needs.

``pipeline`` takes a ``call`` through its ``stages``. ``credentials`` finds who calls, ``request_quotas`` are the limits
of calls per second, ``audit_trail`` makes the audit records, ``readiness`` says whether calls can be answered
(``write_probe``: whether the store can be written), and ``explanations`` why one would be allowed. It does not depend
on HTTP or event loops.
"""
