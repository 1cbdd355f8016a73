"""What the client itself costs, against an endpoint that answers at once."""
