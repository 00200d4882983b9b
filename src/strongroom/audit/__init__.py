"""CloudTrail-shaped records of every call: pure."""
