"""Rojak fine-tunes Whisper on Malaysian code-switched speech, measures what matters in it, and ships the result."""

__version__ = "0.1.0"
