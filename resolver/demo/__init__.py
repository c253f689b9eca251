"""The demo page, with views that no surface offers: the sandbox's state and sealed bytes."""
