"""One network fitted to one set of crystals: the loss, the steps, and how good it has become."""
