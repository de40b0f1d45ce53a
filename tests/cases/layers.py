"""Cases of the ops (layers)."""
