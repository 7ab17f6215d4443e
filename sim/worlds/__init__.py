"""What is simulated: populations of prompts, how their success rates move, rewards and lengths."""
