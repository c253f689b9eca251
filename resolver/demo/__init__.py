"""What the demo page looks at and no surface shows: the sandbox from inside, and sealed bytes."""
