"""What a fleet of 1,000 engines and 50 gateways costs its shared parts, and where each saturates."""
