"""How it is simulated: the loop, a cell, its runs, and the engines that do many of them."""
