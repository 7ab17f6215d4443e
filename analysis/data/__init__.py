"""Run records as data frames. No Matplotlib."""
