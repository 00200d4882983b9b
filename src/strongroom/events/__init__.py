"""Events for other programs: what happens to keys, and what an operator should know, in EventBridge's shape."""
