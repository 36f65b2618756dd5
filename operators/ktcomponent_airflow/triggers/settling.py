"""How soon a deferred task may be resumed."""

SETTLE_S = 10.0
"""How long a trigger waits before it looks for the first time.

Until the worker has exited and the scheduler has read of it, Airflow takes a task that is resumed for one killed from
outside, and spends a retry on it (apache/airflow#66374 and #72716).
"""
