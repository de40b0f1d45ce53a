"""Layers (losses)."""
