"""Layers (recurrent)."""
