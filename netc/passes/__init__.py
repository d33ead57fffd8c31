"""Graph -> Graph: pure functions, one file each, verified before and after."""
