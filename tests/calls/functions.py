"""Calls (functions)."""
