"""A fine-tuned model as files that other programs load, with proof that they say the same."""
