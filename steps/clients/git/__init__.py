"""One Git remote and a scratch repository. Imports workdir, runtime and what is below."""
