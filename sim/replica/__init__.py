"""The replica of a training: a simulated world fitted to its uniform runs, in which every allocator is run again."""
