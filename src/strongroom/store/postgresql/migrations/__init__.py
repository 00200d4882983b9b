"""The migrations of PostgreSQL databases. The first has all tables at once."""
