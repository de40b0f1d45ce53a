"""Calls (losses)."""
