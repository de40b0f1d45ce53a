"""Cases of the ops (losses)."""
