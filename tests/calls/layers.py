"""Calls (layers)."""
