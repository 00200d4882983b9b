"""PostgreSQL: what several nodes share.

``member_connection`` performs the requests of ``store.leases`` on a connection, with ``member_statements`` and within
``deadlines``. ``agent`` runs the agent of a node. ``settler`` waits, in a process that writes, until its changes are
settled.
"""
