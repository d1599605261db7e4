"""Prints the events of an invented run, one a line: SEED RUN START (seconds since 1970)."""

import json
import pathlib
import sys
from datetime import UTC, datetime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import sample_run

seed, run_name, start = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
for event in sample_run.events(seed, run_name, datetime.fromtimestamp(start, UTC)):
    print(json.dumps(event))
