"""The audit log without I/O: the format of records, the chain of hashes, its verification, and names of writers.

* ``cloudtrail``, ``user_identity``, ``service_events``, ``parameters``: records as CloudTrail shapes them.
* ``chain``, ``verification``: how lines are chained and signed, and how changes are found.
* ``search``: which records match a query. ``writer_id``: names of workers and nodes in the log.
* ``sink``: the interface to which records are appended.

Everything here is pure: no I/O, no clock, no randomness. ``store/audit`` writes and reads the files.
"""
