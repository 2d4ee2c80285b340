"""From waveforms to what the encoder sees: log-mel features, augmentation, windows."""
