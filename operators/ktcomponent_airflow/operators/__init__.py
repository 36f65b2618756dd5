"""Operators: one file a place to run, over one base."""
