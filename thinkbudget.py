"""The command line: every command imports what it needs when it is called, so that help is instant.

Exit codes: 0 done, 1 unexpected, 2 wrong input (one line says what), 3 some lines failed,
4 a batch that must not be resumed, 5 unreachable, 6 a budget is used up, 7 a log that does not tell
enough, 8 a candidate that is worse, 130 interrupted.
"""

import os

import click

from scheduler.cli.ask_command import ask
from scheduler.cli.batch_command import batch
from scheduler.cli.collect_command import collect
from scheduler.cli.curves_command import classes, curves
from scheduler.cli.db_command import db
from scheduler.cli.demo_command import demo
from scheduler.cli.doctor_command import doctor
from scheduler.cli.experiment_command import experiment, report
from scheduler.cli.grade_command import grade
from scheduler.cli.keys_command import keys
from scheduler.cli.outcomes_command import outcomes
from scheduler.cli.policy_command import policy
from scheduler.cli.reload_command import engines, reload
from scheduler.cli.serve_command import serve
from training.curate_command import curate
from training.train_command import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thinkbudget", prog_name="thinkbudget")
def main() -> None:
    """Decides how long a reasoning model thinks about each question, and learns what pays."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


COMMANDS = (
    serve, reload, engines, ask, batch, experiment, collect, report, grade, policy, curves,
    classes, keys, curate, train, demo, doctor, db, outcomes,
)  # fmt: skip
for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
