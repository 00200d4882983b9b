"""The one place that chooses concrete back ends."""
