"""How work grows: with seeds, designs, atoms, rows and elements, and what a command costs."""
