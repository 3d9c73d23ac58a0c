"""What clients connect to, floor 4. Each front-end passes on what its client asked and decides nothing."""
