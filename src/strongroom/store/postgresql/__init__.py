"""The store in PostgreSQL, 15 or newer, shared by any number of nodes.

``store`` implements ``protocol.Store``. ``engine`` keeps the connections, each with a deadline for every statement
(``connection``). ``writes`` runs a write and settles commits whose outcome is unknown; ``statements`` begins and ends
its transaction, and has the statements that other databases on the same protocol may lack. ``change_log`` reads what
others have changed. ``faults`` says what errors mean. ``schema`` has the tables; ``migrate`` and ``migrations`` make
them, and ``schema_version`` tells which a database has. No server can use it yet.

``member_connection`` performs the requests of the protocol in ``store.leases``, with ``member_statements``. ``agent``
runs on each node. With ``settler``, a process that writes waits until its changes are settled. ``node_store`` is the
store with all of this.
"""
