"""What tests share: virtual time, small real things, waiting for a condition."""
