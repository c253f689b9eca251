"""What people may ask for: everything that is held about them."""
