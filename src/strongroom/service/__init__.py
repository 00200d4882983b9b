"""Performs calls: the pipeline that authorizes, runs and records them, and what it needs."""
