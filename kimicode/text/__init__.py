"""Pure text functions: they take and return values and know no file, process or terminal."""
