#!/usr/bin/env bash
# Answer many questions without a server. The input is OpenAI's batch format, one request a line.
#   examples/batch.sh [folder] [more options of `thinkbudget batch run`]
set -euo pipefail
folder=${1:-.}
cat > "$folder/in.jsonl" <<'LINES'
{"custom_id": "1", "body": {"model": "s1-pocket", "messages": [{"role": "user", "content": "a=3 b=a*7 b?"}]}}
{"custom_id": "2", "body": {"model": "s1-pocket", "messages": [{"role": "user", "content": "a=5 b=a+4*2 b?"}]}}
{"custom_id": "3", "body": {"model": "s1-pocket", "messages": [{"role": "user", "content": "a=8 b=a-3 c=b*6 c?"}]}}
LINES
# --budget: aim at so many tokens for all lines together. A second run does only what is missing.
"${PYTHON:-.venv/bin/python}" -m thinkbudget batch run "$folder/in.jsonl" -o "$folder/out.jsonl" \
    --budget 2000 "${@:2}"
cat "$folder/out.jsonl"
