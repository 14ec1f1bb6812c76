"""Object storage: the bus and the database.

``layout`` spells every key, ``objects`` talks to a directory or an S3 bucket, ``documents`` keeps JSON with create-only
writes, ``unpacking`` makes folders of artifact archives. Nothing here knows what the documents mean. Anybody may import it.
"""
