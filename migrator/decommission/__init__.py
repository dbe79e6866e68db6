"""The end of phase 5: close, drain, hand over, retire classic."""
