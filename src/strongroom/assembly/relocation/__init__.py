"""Moves a whole deployment from one database to another: from SQLite in the data folder to PostgreSQL, or back.

* ``copying`` copies all tables and checks the copy, inside the transaction that fills the new database.
* ``to_postgresql`` and ``to_sqlite`` keep everything out of the old database meanwhile, and see to it that at each
  moment one of the two can be served at most, also if the process is killed.
* ``mark`` is the file in the data folder that says that a database is not, or no longer, to be served.
"""
