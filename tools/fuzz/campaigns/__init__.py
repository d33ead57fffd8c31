"""The campaigns: each generates inputs of one kind."""
