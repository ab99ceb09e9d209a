"""Where a person or a program meets us. Each is thin: parse input, call `app`, project events. None knows another."""
