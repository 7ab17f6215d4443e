"""From a question to a response, outside of training."""
