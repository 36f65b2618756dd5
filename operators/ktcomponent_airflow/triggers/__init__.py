"""Triggers: what the triggerer runs for deferred tasks."""
