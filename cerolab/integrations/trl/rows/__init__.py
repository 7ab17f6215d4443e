"""The rows of a round as tensors: laid out, put together, weighed, dealt to those who train on them."""
