"""The store in SQLite: one writer at a time, shared by all worker processes of a node.

``store`` implements ``protocol.Store``. ``engine`` sets connections up, ``write_lock`` orders writers, ``group_commit``
lets threads share a commit, ``wal_index`` detects commits of other processes, and ``faults`` says which errors allow a
retry. ``integrity`` checks a whole database, ``write_ahead_log`` watches the log. ``schema_version`` tells which schema
a database has; ``migrate`` and ``migrations`` upgrade it. ``read_only`` opens a database without writing to it, and
``restored`` makes one from a backup.
"""
