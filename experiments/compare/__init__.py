"""Compares methods on many data sets: protocols, methods under test, grids, sweeps, tables and published numbers."""
