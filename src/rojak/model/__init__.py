"""Whisper itself: loading, the encoder over any window length, adapters, the embedded `rojak-micro`."""
