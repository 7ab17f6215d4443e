"""One figure, one file.

A figure of a sweep has ``usable(data)``, the runs that it takes (none: there is nothing to draw), and
``draw(data)``. A figure of single runs has ``TABLES``, the record tables that it reads, and ``draw(runs)`` for runs by
name: the allocator's, or what the legend shall say. The lift is drawn for one run, ``draw(run)``. A figure of a
training experiment has ``missing(training)``, what that lacks to be drawn (nothing: ""), and ``draw(training)``.
"""
