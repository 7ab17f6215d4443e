"""The simulator: synthetic prompt populations, how their success rates move, and the sweep that measures regret."""
