"""Figures for the documentation: `make bench`."""
