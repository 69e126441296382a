"""One module per function, of the same name: what happens, with the world handed in."""
