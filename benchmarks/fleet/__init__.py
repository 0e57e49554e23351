"""What a fleet costs its shared parts, and where each of them saturates."""
