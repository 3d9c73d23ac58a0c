"""How a unit and a PDU become bytes on a wire and back, floor 0."""
