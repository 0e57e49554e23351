"""Curation: from pools of questions to the few that a model is fine-tuned on (s1, section 2).

`pipeline.py` has the stages in order. Each reads the Parquet files of the stage before, writes its
own beside a manifest, and drops no row without a reason.
"""
