"""What all figures share: style, panels, legends, lines."""
