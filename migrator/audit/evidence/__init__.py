"""Reads the evidence of an audit: from a live cluster, from files, from the gather script."""
