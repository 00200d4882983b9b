"""The audit log without I/O: the format of records, the chain of hashes, its verification, and names of writers.

* ``cloudtrail``, ``user_identity``, ``service_events``, ``operator_events``, ``parameters``: records as CloudTrail
  shapes them.
* ``chain``, ``verification``, ``report``: how lines are chained and signed, and how changes are found.
* ``archive``: signed statements about segments that were moved. ``database_history``: whether a database was rolled
  back.
* ``search``: which records match a query. ``writer_id``: names of workers and nodes in the log.
* ``sink``: the interface to which records are appended.

Everything here is pure: no I/O, no clock, no randomness. ``store/audit`` writes and reads the files.
"""
