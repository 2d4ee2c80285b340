"""Transcribe recordings of any length with any model: windows, batches, formats, folders that can be continued."""
