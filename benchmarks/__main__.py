"""Runs all benchmarks; fails if one breaks its bound."""

from __future__ import annotations

import platform
import sys

from benchmarks import study_cost


def main() -> int:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    return 0 if study_cost.main() else 1


if __name__ == "__main__":
    sys.exit(main())
