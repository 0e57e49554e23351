"""Process rewards: how likely a chain is right so far, after every step of its thinking."""
