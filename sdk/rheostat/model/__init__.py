"""What things are: frozen structs that are also the wire format."""
