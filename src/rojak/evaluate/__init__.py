"""Evaluate: decode a test set, align, count, say how certain the counts are, and report."""
