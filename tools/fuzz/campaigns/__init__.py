"""The campaigns: each makes inputs of one kind."""
