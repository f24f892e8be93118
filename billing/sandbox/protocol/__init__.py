"""DOKU's side of the wire: HTTP, signatures, bodies, calls and their answers."""
