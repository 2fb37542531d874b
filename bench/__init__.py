"""What the gateway costs: requests a second and milliseconds beside the provider's own, measured on this machine."""
