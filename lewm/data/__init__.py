"""Recorded episodes on disk, clips of them, and their action statistics."""
