"""The dispatch: what is to do, what of it is on its way, and sending the rest."""
