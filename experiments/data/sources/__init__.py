"""Readers of data: folders, tables, the Hugging Face hub, and the pictures that ship with us."""
