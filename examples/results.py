"""Loads the results of an experiment in a notebook: `python results.py runs/first`."""

import sys

import pandas as pd

rows = pd.read_parquet(f"{sys.argv[1]}/results.parquet")
print(rows.groupby("policy")[["correct", "tokens"]].mean())
