"""Allocators that are not built in: what code they are made of, and where it goes wrong."""
