"""How work grows: with seeds, designs, atoms and elements, and what a command costs at least."""
