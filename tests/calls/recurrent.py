"""Calls (recurrent)."""
