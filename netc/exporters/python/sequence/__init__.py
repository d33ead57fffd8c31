"""Plain torch of text and speech layers: one file per family, as in `netc/layers/sequence`."""
