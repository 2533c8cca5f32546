"""Settings: environment variables, checked together and handed out in groups.

``reading.read()`` returns a ``Settings``. Each group is what one consumer needs: ``ObjectStore`` takes an
``S3Settings``, ``Repository`` a ``GitSettings``. Imports nothing of steps/ above contracts and core.
"""
