"""The bucket, read only. Imports runtime, errors and core; no other package may import an S3 SDK."""
