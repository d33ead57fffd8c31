"""Layers of face recognition and metric learning: margins, centers, triplets."""
