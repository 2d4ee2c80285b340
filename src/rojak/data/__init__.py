"""Bring recordings in: make them, read any shape of corpus, check, split and store them ready for training."""
