"""How a value is reached: pure, and the same in the SDK and the server."""
