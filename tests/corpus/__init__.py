"""What earlier versions stored, as bytes: every later version opens it, or refuses it as documented."""
