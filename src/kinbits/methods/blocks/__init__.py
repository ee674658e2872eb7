"""What several methods share: targets, pair losses, graphs, straight-through signs."""
