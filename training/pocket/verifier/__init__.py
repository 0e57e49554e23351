"""How the embedded verifier is trained and measured: samples, labels, the loop, the curves."""
