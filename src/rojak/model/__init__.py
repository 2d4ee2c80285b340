"""Whisper itself: loading, the encoder over any window length, adapters, the embedded `rojak-micro`."""

import logging

# On CPUs with bf16 bitsandbytes says at import that it cannot fetch a faster kernel from the hub; nobody asked it to.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
