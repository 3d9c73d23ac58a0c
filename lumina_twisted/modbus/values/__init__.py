"""Values in registers, coils and discrete inputs: numbers, texts and bits. Floor 0."""
