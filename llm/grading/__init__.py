"""Grading of mathematics: where a response's answer stands, how it is written, and whether it is the right one."""
