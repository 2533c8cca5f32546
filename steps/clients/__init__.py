"""The outside world: S3, Git, HTTP. Only modules in here may import an SDK for it."""
