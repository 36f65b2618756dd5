"""Airflow with its page and the example DAGs on this machine, until it is interrupted: SQLite, LocalExecutor, no containers."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from airflow_process import Airflow, exit_when_terminated

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".airflow"


def main() -> int:
    exit_when_terminated()
    storage = os.environ.get("KTCOMPONENT_STORAGE") or (HOME / "studies").as_uri()
    print("Starting Airflow ...", flush=True)
    port = int(os.environ.get("PORT", "8080"))
    # Nothing runs before somebody unpauses a DAG in the page.
    with Airflow(HOME, ROOT / "dags", "triggerer", port=port, KTCOMPONENT_STORAGE=storage) as airflow:
        print(f"{airflow.url}\nStudies lie below {storage}. Interrupt (Ctrl-C) to end it.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("Ending ...", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
