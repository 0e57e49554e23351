"""What a fine-tuning takes before it runs: memory of a GPU, FLOPs, hours, and what would fit."""
