"""Fine-tuning on curated rows (s1, section 3 and appendix D): transformers' Trainer with DeepSpeed
ZeRO inside Ray Train.
"""
