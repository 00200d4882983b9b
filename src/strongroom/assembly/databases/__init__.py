"""The database of a deployment: SQLite in the data folder, or PostgreSQL, which the data folders of nodes share.

``chosen`` says which of them the settings name; ``database`` is what both can do, ``sqlite`` and ``postgresql`` are the
two. All that opens a database asks for it here.
"""
