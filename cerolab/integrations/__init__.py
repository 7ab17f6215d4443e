"""Allocators inside other people's trainers; each subpackage knows one trainer's internals."""
