"""The parts all networks are made of."""
