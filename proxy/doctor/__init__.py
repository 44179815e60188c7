"""Why does TensorFlow Serving not respond? A checklist that is walked from the outside in: `tfs-proxy doctor`.

    way      names, connections, what the port speaks, forward proxies
    server   gRPC, health, reflection, the size of messages
    models   versions and their states, signatures, a request of zeros
    files    models.config and SavedModel on disk

Law: every step asks, yields what it saw as a Line at once, and goes on where the next one makes sense without it.
Nothing here prints.
"""
