"""Models behind endpoints: catalog, wire form, stream, transport, retries and scripted stand-ins."""
