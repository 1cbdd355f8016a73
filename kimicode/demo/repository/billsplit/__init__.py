"""Split a bill among people, to the cent."""
