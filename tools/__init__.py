"""What remakes the assets that ship. Run from a checkout; not in the wheel."""
