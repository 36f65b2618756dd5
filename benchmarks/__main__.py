"""Runs all benchmarks; fails if one breaks its bound."""

from __future__ import annotations

import platform
import sys

from benchmarks import batches, engine_overhead, lanes, scale, storages, study_cost


def main() -> int:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    kept = [benchmark.main() for benchmark in (study_cost, batches, storages, scale, lanes, engine_overhead)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
