"""Phase 4: the gate of a wave, its ramp and soak, and the watch over reads on Limitless afterwards."""
