"""Operators: one file for each place to run, over one base."""
