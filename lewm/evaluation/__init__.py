"""Evaluation by planning: pairs of start and goal, the environment pool, policies and their results."""
