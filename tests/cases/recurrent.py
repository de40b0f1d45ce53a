"""Cases of the ops (recurrent)."""
