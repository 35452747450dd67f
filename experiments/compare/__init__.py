"""Many jobs side by side: protocols, methods under test, grids, sweeps, tables and published numbers."""
