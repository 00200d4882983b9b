"""Leases: how several nodes serve one database, each from its memory, without ever serving what has changed.

An *agent* on each node renews a lease by commits and publishes the newest changes on a page of shared memory
(``membership``, ``page``). Workers look at the page before each turn of calls (``view``). A change is answered once
every node has acknowledged it or its lease has ended (``settlement``). Nothing here knows a database: that is the
business of ``store.postgresql``. See ADR 31.
"""
