"""One allocator, one file. Make them by name: ``cerolab.make("cero", problem)``."""
