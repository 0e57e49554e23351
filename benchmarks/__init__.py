"""Ratios side by side in one run, each benchmark a module to run."""

import os

# Matrices here are small: threads of BLAS only wait for each other. Has to be set before numpy is.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
