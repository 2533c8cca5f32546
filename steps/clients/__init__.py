"""The only modules that talk to the world through an SDK."""
