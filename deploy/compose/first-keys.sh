#!/bin/sh
# Makes the first keys, once: one for requests, one for Prometheus, which reads it as another user.
set -eu
umask 077
[ -e /keys/keys.jsonl ] && exit 0
thinkbudget keys create first --file /keys/keys.jsonl > /keys/first.key
thinkbudget keys create prometheus --role metrics --file /keys/keys.jsonl > /scrape/prometheus.key
chmod 644 /scrape/prometheus.key
