"""What may be said of them: means, intervals, scores, comparisons, verdicts. No Matplotlib."""
