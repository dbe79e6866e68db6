"""Connections that are let in, or not."""
