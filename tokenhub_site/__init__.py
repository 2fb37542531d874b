"""Wires the rooms together; nobody imports it."""
