"""What can go wrong on request: kinds of faults, their effects, and whom they meet."""
