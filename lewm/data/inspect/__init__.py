"""Looks at datasets: summary, faults, replays, pictures."""
