"""Passes from Graph to Graph: pure functions, one per file; graphs are verified before and after each pass."""
