"""The stabilization window and the decommission: close, drain, hand over, retire classic."""
