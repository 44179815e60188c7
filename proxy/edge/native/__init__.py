"""The native edge: an asyncio HTTP/2 data plane for the hot path."""
