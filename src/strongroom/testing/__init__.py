"""A test kit: a development server for tests, with pytest and with unittest."""
