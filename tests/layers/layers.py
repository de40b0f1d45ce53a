"""Layers (layers)."""
