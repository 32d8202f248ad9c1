"""Reports of an evaluation: pages, charts, films, and tables on the screen."""
