"""Key material that is made and used in this process."""
