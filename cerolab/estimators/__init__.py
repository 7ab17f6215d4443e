"""What is believed of a prompt: its posterior, its last groups, its likeness to others, its tokens."""
