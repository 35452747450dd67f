"""Compares methods on many data sets: protocols, methods under test, grids, tables and published numbers."""
