"""Fine-tuning: the stages, the loop, its checkpoints."""
